"""Tallies: what gangs' VFs have counted, each by the one source that suits it.

Place: effect; asked by `controller.agent.gauging`. Must not write, and must not add two sources: the RoCE
packets of an RDMA device are in its PF's statistics already.

| VF | source | bytes |
|---|---|---|
| InfiniBand, of a container | `counters` of its own RDMA device's port | words of 4, with headers |
| any, of a PF whose driver counts VFs | the PF's netlink statistics | layer 2 (InfiniBand: unicast) |
| Ethernet, of a container, any other PF | its own netdev's, while it is on this host | layer 2 |

`counters/port_xmit_data` and `port_rcv_data` are octets divided by 4 (Documentation/ABI/stable/sysfs-class-
infiniband), all of a packet after its start and before its VCRC (InfiniBand Architecture 1.2.1, section
16.1.3.5). They have 64 bits if the port answers PortCountersExtended, which Linux asks for since 4.5, and
then has `unicast_xmit_packets` beside them; drivers of before may have `counters_ext`. Else they have 32
bits, and stop at their end. `hw_counters` count events, no bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipam.devices.netdevs import netdevs, uplink
from ipam.devices.reading import home, vf_address
from ipam.devices.tree import Tree
from ipam.devices.vf_counts import COUNTING, VfCount
from model.fabric import FabricKind
from model.gang import Use
from model.hardware import PciAddress
from model.tally import FULL, Manner, Medium, Pair, Tally

MOST: Final = 1 << 60
"""A count beyond it is none: as bytes it would not fit the ledger's 63 bits."""
BY_PF: Final = "pf "
"""How the life of what a PF tells begins."""
_WORD: Final = 4
_MOST_INDEX: Final = 0x7FFFFFFF
_MOST_MBIT: Final = 100_000_000
_RATE: Final = re.compile(r"(\d{1,5}(?:\.\d)?) Gb/sec")
_LANE: Final = re.compile(r"(\d{1,3}(?:\.\d)?) GT/s")
_COUNTERS: Final = ("port_xmit_packets", "port_xmit_data", "port_rcv_packets", "port_rcv_data")

Place = tuple[PciAddress, int]
Counts = Callable[[str], Mapping[int, VfCount]]
"""As `vf_counts.observe`: raises OSError."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A VF that a gang has: its PF and number, what its link speaks, and who has it."""

    pf: PciAddress
    vf: int
    kind: FabricKind
    use: Use

    @property
    def place(self) -> Place:
        return self.pf, self.vf


def observe(root: Path, counts: Counts, subjects: Iterable[Subject]) -> dict[Place, Tally]:
    """One look. What can't be read is left out. A driver may take its time."""
    tree, told = Tree(root), _Asked(counts)
    found = {}
    for subject in subjects:
        try:
            tally = _tally(tree, told, subject)
        except OSError:
            continue  # it went meanwhile
        if tally is not None:
            found[subject.place] = tally
    return found


class _Asked:
    """Each PF is asked once in a look."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._told: dict[str, Mapping[int, VfCount]] = {}

    def of(self, netdev: str) -> Mapping[int, VfCount]:
        if netdev not in self._told:
            try:
                self._told[netdev] = self._counts(netdev)
            except OSError:
                self._told[netdev] = {}
        return self._told[netdev]


def _tally(tree: Tree, told: _Asked, subject: Subject) -> Tally | None:
    pf = home(subject.pf)
    vf = vf_address(tree, subject.pf, subject.vf)
    if vf is None:
        return None
    if subject.kind is FabricKind.INFINIBAND and subject.use is Use.CONTAINER:
        return _port(tree, pf, home(vf))
    link = uplink(tree, pf)
    if tree.target(f"{pf}/driver").rpartition("/")[2] in COUNTING:
        return _by_pf(tree, told, pf, link, home(vf), subject) if link else None
    if subject.use is Use.CONTAINER and subject.kind is not FabricKind.INFINIBAND:
        return _netdev(tree, pf, link, home(vf))
    return None


def _port(tree: Tree, pf: str, vf: str) -> Tally | None:
    """The first port of a VF's own RDMA device."""
    device = next(iter(tree.names(f"{vf}/infiniband")), "")
    ports = sorted(
        (int(name), name) for name in tree.names(f"{vf}/infiniband/{device}/ports") if name.isdecimal()
    )
    if not device or not ports:
        return None
    port = f"{vf}/infiniband/{device}/ports/{ports[0][1]}"
    wide = tree.has(f"{port}/counters_ext/port_xmit_data_64")
    files = [f"counters_ext/{name}_64" if wide else f"counters/{name}" for name in _COUNTERS]
    values = _numbers(tree, port, files)
    if values is None:
        return None
    wide = wide or tree.has(f"{port}/counters/unicast_xmit_packets") or max(values) > FULL
    found = _RATE.match(tree.quiet(f"{port}/rate"))
    line = None if found is None else int(float(found[1]) * 1e9 / 8)
    return Tally(
        f"rdma {_identity(tree, f'{vf}/infiniband/{device}')}",
        Medium.INFINIBAND,
        Manner.WIDE if wide else Manner.STICKS,
        _WORD,
        (values[0], values[1]),
        (values[2], values[3]),
        _speed(tree, pf, line),
    )


def _by_pf(tree: Tree, told: _Asked, pf: str, link: str, vf: str, subject: Subject) -> Tally | None:
    count = told.of(link.rpartition("/")[2]).get(subject.vf)
    index = tree.number(f"{link}/ifindex", _MOST_INDEX)
    if count is None or index is None or not _fit(count.sent, count.received):
        return None
    medium = Medium.INFINIBAND if subject.kind is FabricKind.INFINIBAND else Medium.VF
    life = f"{BY_PF}{index} vf {_identity(tree, vf)}"
    return Tally(
        life, medium, Manner.WIDE, 1, count.sent, count.received, _speed(tree, pf, _line(tree, link))
    )


def _netdev(tree: Tree, pf: str, link: str, vf: str) -> Tally | None:
    own = next(iter(netdevs(tree, vf)), "")
    if not own:
        return None
    index = tree.number(f"{own}/ifindex", _MOST_INDEX)
    files = ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")
    values = _numbers(tree, f"{own}/statistics", files)
    if index is None or values is None:
        return None
    life = f"netdev {index} vf {_identity(tree, vf)}"
    speed = _speed(tree, pf, _line(tree, link) if link else None)
    return Tally(life, Medium.VF, Manner.WIDE, 1, (values[0], values[1]), (values[2], values[3]), speed)


def _numbers(tree: Tree, where: str, files: Iterable[str]) -> list[int] | None:
    """None if one can't be read: Linux says `N/A` where a port can't be asked."""
    found = [tree.number(f"{where}/{name}", MOST) for name in files]
    return None if None in found else [number for number in found if number is not None]


def _fit(*pairs: Pair) -> bool:
    return all(value <= MOST for pair in pairs for value in pair)


def _identity(tree: Tree, path: str) -> int:
    """Of a directory of sysfs: no later one has it again (kernfs counts them up)."""
    return os.stat(tree.at(path)).st_ino


def _line(tree: Tree, link: str) -> int | None:
    """Bytes a second of a netdev's link; it tells -1, or nothing, while that is down."""
    speed = Tree(tree.root).number(f"{link}/speed", _MOST_MBIT)
    return None if not speed else speed * 125_000


def _speed(tree: Tree, pf: str, line: int | None) -> int | None:
    """What can pass at most: two VFs of one NIC exchange by way of the PCI bus, however slow its link is."""
    lane = _LANE.match(tree.quiet(f"{pf}/current_link_speed"))
    width = tree.quiet(f"{pf}/current_link_width")
    bus = int(float(lane[1]) * 1e9 / 8) * int(width) if lane and width.isdecimal() else 0
    return max(bus, line or 0) or None
