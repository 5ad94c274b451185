"""Moving: a VF's netdev into a container and back.

Place: called by `commands` once the VF is claimed. Of a container's interfaces it touches the one that is on
the claimed VF, whatever its name is by now: by the PCI address that the kernel tells, or (of what has none)
by our mark in its alias. What fails half way is taken back. Must not choose.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from controller.cni import kernel as kernels
from controller.cni.addresses import prefix
from controller.cni.berths import Berth
from controller.cni.claims import Claim
from controller.cni.kernel import Kernel
from controller.cni.refusal import BLOCKED, ENVIRONMENT, INPUT_OUTPUT, LATER, NO_CONTAINER, Refusal
from controller.cni.result import Route
from controller.cni.wire import INFINIBAND, Change, Device

_MARK = "ringfence "
_SPARE = "vf%d"
"""Where the kernel puts the first free number."""


def mark(pci: str) -> str:
    """Alias of what we have moved."""
    return f"{_MARK}{pci}"


def names(sysfs: str, pci: str) -> tuple[str, ...]:
    """Netdevs of a PCI function that are in this namespace, as sysfs has them."""
    try:
        return tuple(sorted(os.listdir(f"{sysfs}/bus/pci/devices/{pci}/net")))
    except OSError:
        return ()


def here(host: Kernel, sysfs: str, pci: str) -> bool:
    """Whether a netdev of that function is on the host: then no container has it."""
    return any(host.link(name) is not None for name in names(sysfs, pci))


def netdev(host: Kernel, sysfs: str, berth: Berth) -> Device:
    """The one of a VF; Refusal if it is not here (any more), or not the gang's."""
    found = [link for name in names(sysfs, berth.pci) if (link := host.link(name)) is not None]
    if len(found) > 1:
        raise Refusal(BLOCKED, f"{berth.shown} has {len(found)} netdevs", "Which of them is not known.")
    if not found:
        driver = os.path.basename(_target(f"{sysfs}/bus/pci/devices/{berth.pci}/driver"))
        if driver == "vfio-pci":
            raise Refusal(BLOCKED, f"{berth.shown} is bound to vfio-pci", "It is a VM's: the Sku says so.")
        raise Refusal(
            LATER,
            f"{berth.shown} has no netdev on this host",
            "It has no driver yet, or another container has it; see 'ip link' and dmesg.",
        )
    if found[0].kind == INFINIBAND:
        _judge(found[0], berth)
    return found[0]


def _judge(link: Device, berth: Berth) -> None:
    """An IPoIB link has its port's GUID and partition: the gang's (RFC 4391, sections 4 and 9.1)."""
    if berth.port_guid and int.from_bytes(link.address[-8:], "big") != berth.port_guid:
        raise Refusal(LATER, f"{link.name} of {berth.shown} has another GUID", "Bind its driver again.")
    if berth.pkey and int.from_bytes(link.broadcast[8:10], "big") & 0x7FFF != berth.pkey:
        raise Refusal(LATER, f"{link.name} of {berth.shown} is in another partition", "It follows soon.")


@contextmanager
def container(path: str) -> Iterator[tuple[Kernel, int]]:
    """Its rtnetlink, and the file descriptor of its namespace. Refusal if there is no such namespace."""
    try:
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Refusal(NO_CONTAINER, f"there is no namespace {path}", "The container is gone.") from None
    except OSError as error:
        raise _no_namespace(path, error) from None
    try:
        if kernels.is_here(namespace):
            raise Refusal(ENVIRONMENT, f"CNI_NETNS {path} is the host's own", "Name a container's.")
        try:
            with kernels.entered(namespace):
                there = Kernel()
        except OSError as error:
            raise _no_namespace(path, error) from None
        try:
            yield there, namespace
        finally:
            there.close()
    finally:
        os.close(namespace)


def _no_namespace(path: str, error: OSError) -> Refusal:
    return Refusal(ENVIRONMENT, f"CNI_NETNS {path} is no namespace: {error.strerror}", "Name a container's.")


def move_in(
    host: Kernel, link: Device, berth: Berth, claim: Claim, ways: tuple[Route, ...], mtu: int
) -> Device:
    """The link in the container, up, with addresses and routes; on the host, as it was, if that can't be."""
    with container(claim.netns) as (there, namespace):
        if there.link(claim.ifname) is not None:
            raise Refusal(BLOCKED, f"{claim.ifname} exists in {claim.netns}", "Choose another CNI_IFNAME.")
        address = bytes.fromhex(berth.mac.replace(":", ""))
        try:
            # The mark comes first, so that DEL knows it again wherever a crash leaves it.
            host.change(link, Change(up=False))
            host.change(link, Change(alias=mark(berth.pci)))
            if address and link.kind != INFINIBAND and link.address != address:
                host.change(link, Change(address=address))
            host.change(link, Change(netns=namespace, name=claim.ifname))
            moved = _present(there, claim)
            if mtu:
                there.change(moved, Change(mtu=mtu))
            _set_up(there, moved, namespace, berth, ways)
            return _present(there, claim)
        except (OSError, Refusal) as error:
            _take_back(there, host, link, claim)
            if isinstance(error, Refusal):
                raise
            raise Refusal(
                INPUT_OUTPUT, f"{berth.shown} can't be {claim.ifname} of {claim.netns}: {error.strerror}", ""
            ) from None


def _set_up(there: Kernel, link: Device, namespace: int, berth: Berth, ways: tuple[Route, ...]) -> None:
    networks = [prefix(address) for address in berth.addresses]
    if any(network.family == socket.AF_INET6 for network in networks):
        _allow_ipv6(namespace, link.name)
    for network in networks:
        there.add_address(link, network)
    there.change(link, Change(up=True))
    for way in ways:
        _add(there, link, way)


def _take_back(there: Kernel, host: Kernel, link: Device, claim: Claim) -> None:
    """After a failure: as it was, but for its MAC, which is the gang's."""
    try:
        if (moved := find(there, claim)) is not None:
            _return(there, moved, claim)
        if (back := host.link(claim.link)) is not None:
            host.change(back, Change(alias="", up=link.up or None))
    except OSError as error:
        print(f"{claim.pci} stays in {claim.netns}: {error.strerror}", file=sys.stderr)


def _add(there: Kernel, link: Device, way: Route) -> None:
    try:
        there.add_route(link, way)
    except OSError as error:
        said = f"route to {way.text} of {link.name}: {error.strerror}"
        raise Refusal(BLOCKED, said, "Another interface has it, or its gateway is not reachable.") from None


def _present(there: Kernel, claim: Claim) -> Device:
    found = there.link(claim.ifname)
    if found is None:
        raise Refusal(INPUT_OUTPUT, f"{claim.ifname} is not in {claim.netns} after the move", "")
    return found


def find(there: Kernel, claim: Claim) -> Device | None:
    """The interface of a claim, as the container has it now.

    By PCI address where the kernel tells it: names and aliases may be the container's own work, made to have
    something else brought to the host. What is made on top of the VF says the same address.
    """
    links = sorted(there.links(), key=lambda link: link.number)
    if claim.parent:
        return next((link for link in links if link.parent == claim.parent and not link.below), None)
    return next((link for link in links if link.alias == mark(claim.pci)), None)


def move_out(claim: Claim, netns: str) -> None:
    """Back to the host under its old name. Nothing happens if the container or the interface is gone.

    `netns`: as the runtime names the container's namespace by now; "" if it does not.
    """
    for path in dict.fromkeys((netns, claim.netns)):
        with suppress(Refusal), container(path) as (there, _):
            link = find(there, claim)
            if link is not None:
                _return(there, link, claim)


def _return(there: Kernel, link: Device, claim: Claim) -> None:
    there.change(link, Change(up=False))
    there.change(link, Change(alias=""))
    with suppress(OSError):
        there.change(link, Change(mtu=claim.mtu or None))
    with suppress(OSError):
        # In here, so that nobody on the host sees it under the container's name.
        there.change(link, Change(name=claim.link))
    home = os.open(kernels.HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        there.change(link, Change(netns=home, name=claim.link))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        if any(each.number == link.number for each in there.links()):
            there.change(link, Change(netns=home, name=_SPARE))
        print(f"{claim.link} exists on the host: {claim.pci} has another name now", file=sys.stderr)
    finally:
        os.close(home)


def settle(claim: Claim, sysfs: str) -> None:
    """What is on the host, because its container ended or an ADD did not get far: its name, no mark."""
    host = Kernel()
    try:
        present = [link for name in names(sysfs, claim.pci) if (link := host.link(name)) is not None]
        for link in present:
            if claim.parent == claim.pci or link.alias == mark(claim.pci):
                host.change(link, Change(up=False))
                host.change(link, Change(alias=""))
                if link.name != claim.link and host.link(claim.link) is None:
                    host.change(link, Change(name=claim.link))
    except OSError as error:
        print(f"{claim.pci} keeps another name than {claim.link}: {error.strerror}", file=sys.stderr)
    finally:
        host.close()


def _allow_ipv6(namespace: int, ifname: str) -> None:
    """Runtimes make namespaces without IPv6."""
    with kernels.entered(namespace):
        for name in ("lo", ifname):
            path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
            with suppress(FileNotFoundError), open(path, "w", encoding="ascii") as file:
                file.write("0")


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
