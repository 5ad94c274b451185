"""Sysfs: PCI network functions, their VFs and ports, and GPUs, from a tree like /sys.

Place: the first part of `ipam.devices.look`. Knows each device by its PCI address. Links between devices are
read as text and never followed, so that loops and links out of the tree lead nowhere. Must not write.

The files: Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net, stable/sysfs-class-infiniband of Linux.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ipam.devices.netdevs import uplink
from ipam.devices.tree import Tree
from model.addresses import parse_mac
from model.fabric import parse_guid
from model.hardware import PciAddress, format_pci, parse_pci
from model.sighting import MOST_FUNCTIONS, MOST_GPUS, MOST_PFS, MOST_VFS, SeenGpu, SeenPf, SeenVf, Sighting

_DEVICES: Final = "bus/pci/devices"
_NETWORK: Final = 0x02
"""Base class of the PCI class code: Ethernet (0x0200), InfiniBand (0x0207) and other network controllers."""
_GPU: Final = 0x0302
"""3D controller: GPUs of servers have no display (which would be 0x0300)."""
_MOST_CLASS: Final = 0xFFFFFF
_MOST_ID: Final = 0xFFFF
_MOST_NUMA: Final = 1023


@dataclass(frozen=True, slots=True)
class _Device:
    """`path`: the PCI bridges above it, from the root."""

    pci: PciAddress
    home: str
    kind: int
    path: tuple[PciAddress, ...]


def observe(root: Path) -> Sighting:
    """What the tree shows. Never raises; what is not as it should be stands in `oddities`."""
    tree = Tree(root)
    devices = _devices(tree)
    gpus = [each for each in devices.values() if each.kind == _GPU]
    pfs = [each for each in devices.values() if each.kind >> 8 == _NETWORK and not _is_vf(tree, each)]
    for what, found, most in (("GPUs", gpus, MOST_GPUS), ("network devices", pfs, MOST_PFS)):
        if len(found) > most:
            tree.note("too-many", _DEVICES, f"{len(found)} {what}; the first {most} are reported")
    seen = _bounded(tree, [_pf(tree, each, gpus, devices) for each in pfs[:MOST_PFS]])
    gpus_seen = tuple(SeenGpu(g.pci, _id(tree, g), _numa(tree, g)) for g in gpus[:MOST_GPUS])
    return Sighting(seen, gpus_seen, tree.oddities())


def _bounded(tree: Tree, pfs: list[SeenPf]) -> tuple[SeenPf, ...]:
    """With no more VFs in all than a report has room for: the first of them."""
    left, kept = MOST_FUNCTIONS, []
    for pf in pfs:
        kept.append(pf if len(pf.vfs) <= left else replace(pf, vfs=pf.vfs[:left]))
        left = max(left - len(pf.vfs), 0)
    count = sum(len(pf.vfs) for pf in pfs)
    if count > MOST_FUNCTIONS:
        tree.note("too-many", _DEVICES, f"{count} VFs; the first {MOST_FUNCTIONS} are reported")
    return tuple(kept)


def _devices(tree: Tree) -> dict[PciAddress, _Device]:
    """Of every PCI device its class and place, by address."""
    names = tree.names(_DEVICES)
    if not names:
        tree.note("sysfs-missing", _DEVICES, "no PCI device is there: is sysfs mounted?")
    found: dict[PciAddress, _Device] = {}
    for name in names:
        try:
            pci = parse_pci(name)
        except ValueError as error:
            tree.note("file-garbled", f"{_DEVICES}/{name}", str(error))
            continue
        home = f"{_DEVICES}/{name}"
        code = tree.number(f"{home}/class", _MOST_CLASS, 16)
        if code is not None:
            found[pci] = _Device(pci, home, code >> 8, _path(tree, home, pci))
    return dict(sorted(found.items()))


def _path(tree: Tree, home: str, pci: PciAddress) -> tuple[PciAddress, ...]:
    """The link of a device is its place: `../../../devices/pci0000:15/0000:15:01.0/0000:16:00.0/...`."""
    above: list[PciAddress] = []
    for part in tree.target(home).split("/"):
        try:
            above.append(parse_pci(part))
        except ValueError:
            continue
    if above and above[-1] != pci:
        tree.note("link-broken", home, "it leads to another device")
        return ()
    return tuple(above[:-1])


def _is_vf(tree: Tree, device: _Device) -> bool:
    return tree.has(f"{device.home}/physfn")


def _pf(tree: Tree, device: _Device, gpus: list[_Device], devices: Mapping[PciAddress, _Device]) -> SeenPf:
    home = device.home
    total = made = 0
    if tree.has(f"{home}/sriov_totalvfs"):
        total = tree.number(f"{home}/sriov_totalvfs", _MOST_ID) or 0
        made = tree.number(f"{home}/sriov_numvfs", _MOST_ID) or 0
    netdev = uplink(tree, home)
    rdma = next(iter(tree.names(f"{home}/infiniband")), "")
    port = _port(tree, f"{home}/infiniband/{rdma}") if rdma else _Port()
    return SeenPf(
        pci=device.pci,
        id=_id(tree, device),
        driver=_driver(tree, home),
        numa=_numa(tree, device),
        gpus=_nearest(device, gpus),
        netdev=netdev.rpartition("/")[2],
        mac=_mac(tree, f"{netdev}/address") if netdev and port.link != "infiniband" else 0,
        rdma=rdma,
        link=port.link or ("ethernet" if netdev else ""),
        node_guid=port.node_guid,
        port_guid=port.port_guid,
        pkeys=port.pkeys,
        total=total,
        made=made,
        vfs=_vfs(tree, device, made, devices),
    )


def _id(tree: Tree, device: _Device) -> str:
    vendor = tree.number(f"{device.home}/vendor", _MOST_ID, 16)
    made = tree.number(f"{device.home}/device", _MOST_ID, 16)
    return "" if vendor is None or made is None else f"{vendor:04x}:{made:04x}"


def _numa(tree: Tree, device: _Device) -> int | None:
    return tree.number(f"{device.home}/numa_node", _MOST_NUMA)


def _driver(tree: Tree, home: str) -> str:
    return tree.target(f"{home}/driver").rpartition("/")[2]


def _mac(tree: Tree, path: str) -> int:
    text = tree.text(path)
    if not text:
        return 0
    try:
        return parse_mac(text)
    except ValueError as error:
        tree.note("file-garbled", path, str(error))
        return 0


def _nearest(device: _Device, gpus: list[_Device]) -> tuple[PciAddress, ...]:
    """GPUs that share the most bridges with it: under one PCI switch, traffic between them stays there."""
    shared = {gpu.pci: _common(device.path, gpu.path) for gpu in gpus}
    best = max(shared.values(), default=0)
    return tuple(pci for pci, count in sorted(shared.items()) if best and count == best)


def _common(one: tuple[PciAddress, ...], other: tuple[PciAddress, ...]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Port:
    link: str = ""
    node_guid: int = 0
    port_guid: int = 0
    pkeys: int = 0


def _port(tree: Tree, home: str) -> _Port:
    """An RDMA device with its first port: functions of today's NICs have one."""
    ports = sorted((int(name), name) for name in tree.names(f"{home}/ports") if name.isdecimal())
    node = _guid(tree, f"{home}/node_guid", tree.text(f"{home}/node_guid"))
    if not ports:
        tree.note("port-missing", f"{home}/ports", "the RDMA device has no port")
        return _Port(node_guid=node)
    port = f"{home}/ports/{ports[0][1]}"
    link = tree.text(f"{port}/link_layer").lower()
    if link not in {"", "infiniband", "ethernet"}:
        tree.note("file-garbled", f"{port}/link_layer", f"{link[:40]!r} is no link layer")
        link = ""
    pkeys = sum(name.isdecimal() for name in tree.names(f"{port}/pkeys"))
    guid = 0
    if link == "infiniband":
        # The lower half of the first GID is the port's GUID (InfiniBand Architecture 1.2.1, section 4.1.1).
        lower = ":".join(tree.text(f"{port}/gids/0").split(":")[-4:])
        guid = _guid(tree, f"{port}/gids/0", lower)
    return _Port(link, node, guid, pkeys)


def _guid(tree: Tree, path: str, text: str) -> int:
    if not text:
        return 0
    try:
        return parse_guid(text)
    except ValueError as error:
        tree.note("file-garbled", path, str(error))
        return 0


def _vfs(tree: Tree, pf: _Device, made: int, devices: Mapping[PciAddress, _Device]) -> tuple[SeenVf, ...]:
    """The VFs that `virtfn0`, `virtfn1`, ... name. One that has just gone is told and left out."""
    links = {int(n[6:]): n for n in tree.names(pf.home) if n.startswith("virtfn") and n[6:].isdecimal()}
    found: dict[int, SeenVf] = {}
    taken: set[PciAddress] = set()
    for index, name in sorted(links.items())[:MOST_VFS]:
        path = f"{pf.home}/{name}"
        try:
            pci = parse_pci(tree.target(path).rpartition("/")[2])
        except ValueError:
            tree.note("link-broken", path, "it leads to no PCI device")
            continue
        if pci not in devices or not tree.has(f"{devices[pci].home}/physfn"):
            tree.note("vf-vanished", path, f"{format_pci(pci)} is not there, or no VF (any more)")
        elif pci == pf.pci or pci in taken:
            tree.note("link-broken", path, f"{format_pci(pci)} is named twice")
        else:
            taken.add(pci)
            found[index] = SeenVf(index, pci, _driver(tree, devices[pci].home))
    if len(links) > MOST_VFS:
        tree.note("too-many", pf.home, f"{len(links)} VFs; the first {MOST_VFS} are reported")
    elif len(links) != made:
        tree.note("vf-vanished", pf.home, f"sriov_numvfs is {made}, and {len(links)} VFs are there")
    return tuple(found.values())
