"""Explain: what a figure of a report is made of, and whether its parts add up to it. Pure.

Place: between `accounting.ledger.parts`, which reads, and the API. Must not mend a difference: it tells it.

A figure is one row of a report, or all of it. Its parts are the flows whose intervals ended in its time, and
sums whose intervals are no longer kept. A report adds up sums where these are current; the parts are added up
from single intervals. So that both agree shows more than that somebody can add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from accounting.records import Cause

_CAUSES: Final[Mapping[Cause, str]] = {
    Cause.RUN_ENDED: "ovs-vswitchd ended between two readings; what it counted after the last one died with"
    " it",
    Cause.COUNTER_FELL: "somebody else deleted the flow and made it again between two readings",
    Cause.FLOW_VANISHED: "the flow went without the reading that stands before a deletion",
    Cause.JOURNAL_MISSING: "counters had run before the host's journal began: a lost journal has billed them,"
    " or nobody has",
    Cause.PORT_REMOVED: "the interface was taken out of the switch with its traffic running",
    Cause.PASS_MOVED: "a limit, a class or a way changed under traffic, and Open vSwitch may have looked at"
    " its flows just then: what was counted meanwhile may hold bytes twice and is not billed; up to the bound"
    " is missing",
    Cause.DEVICE_ENDED: "a device past the switch, or what counts for it, was made anew between two readings",
    Cause.DEVICE_UNREAD: "a device changed hands, and could not be read for the last time",
    Cause.COUNTER_FULL: "a counter of 32 bits stopped at its end",
    Cause.COUNTER_WRAPPED: "a counter of 32 bits may have gone round more often than it was read",
    Cause.COUNTER_LEAPT: "a device told of more than can have passed",
    Cause.OWNER_UNCLEAR: "a device changed hands, and where one's bytes end and the other's begin is not on"
    " disk",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """What adds up. `bytes`: layer 3."""

    packets: int = 0
    bytes: int = 0
    intervals: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.packets + other.packets, self.bytes + other.bytes, self.intervals + other.intervals
        )


@dataclass(frozen=True, slots=True)
class Life:
    """One counter from its making to its end: what a cookie stands for in one run of ovs-vswitchd.

    `number`: of the class, with its direction.
    """

    host: str
    boot_id: str
    vswitchd_start: str
    port: int
    number: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Intervals of one life that were counted in one way, under the same names.

    `begins`, `ends`: the flow's own counters, with layer 2, before the first and after the last of them:
    (packets, bytes). `header_bytes`: taken off for each packet.
    """

    life: Life
    port_uid: str
    port_name: str
    network_name: str
    class_name: str
    datapath: str
    header_bytes: int
    from_ms: int
    to_ms: int
    first_sequence: int
    last_sequence: int
    amount: Amount
    begins: tuple[int, int]
    ends: tuple[int, int]

    @property
    def layer2(self) -> int:
        """Bytes as the switch counts them."""
        return self.amount.bytes + self.header_bytes * self.amount.packets


@dataclass(frozen=True, slots=True)
class Flow:
    """A life with its pieces. `beyond`: by so many bytes (layer 2) its counter rose more than its pieces say:
    0 shows that nothing is missing between the first and the last of them; None if the counter began anew.
    """

    life: Life
    pieces: tuple[Piece, ...]
    amount: Amount
    begins: tuple[int, int]
    ends: tuple[int, int]
    beyond: int | None


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums of hours whose intervals are no longer kept. `hours`: how many such sums."""

    host: str
    port_uid: str
    port_name: str
    network_name: str
    number: int
    class_name: str
    datapath: str
    first_hour_ms: int
    last_hour_ms: int
    hours: int
    amount: Amount


@dataclass(frozen=True, slots=True)
class Correction:
    """How layer-2 bytes became layer-3 bytes: bytes = layer2 - header_bytes x packets."""

    datapath: str
    header_bytes: int
    amount: Amount
    layer2: int


@dataclass(frozen=True, slots=True)
class HostPart:
    """What one host counted. `epochs`: bindings of ports; `runs`: lives of ovs-vswitchd."""

    host: str
    amount: Amount
    summed: Amount
    runs: int
    epochs: int
    flows: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Whether the parts are the figure."""

    figure: Amount
    intervals: Amount
    summed: Amount

    @property
    def parts(self) -> Amount:
        return self.intervals + self.summed

    @property
    def exact(self) -> bool:
        """Packets, bytes and the number of intervals are the same."""
        return self.parts == self.figure


def flows(pieces: Iterable[Piece]) -> tuple[Flow, ...]:
    """A flow for each life, those with most bytes first."""
    found: dict[Life, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.life, []).append(piece)
    made = (_flow(life, sorted(some, key=lambda p: p.first_sequence)) for life, some in found.items())
    return tuple(sorted(made, key=_order))


def corrections(pieces: Iterable[Piece]) -> tuple[Correction, ...]:
    """One for each data path and header, in that order."""
    found: dict[tuple[str, int], tuple[Amount, int]] = {}
    for piece in pieces:
        place = (piece.datapath, piece.header_bytes)
        amount, layer2 = found.get(place, (Amount(), 0))
        found[place] = (amount + piece.amount, layer2 + piece.layer2)
    return tuple(Correction(*place, *found[place]) for place in sorted(found))


def hosts(flows: Sequence[Flow], summed: Iterable[Summed]) -> tuple[HostPart, ...]:
    """By name."""
    counted: dict[str, list[Flow]] = {}
    kept: dict[str, Amount] = {}
    for flow in flows:
        counted.setdefault(flow.life.host, []).append(flow)
    for each in summed:
        kept[each.host] = kept.get(each.host, Amount()) + each.amount
    return tuple(
        _host(name, counted.get(name, []), kept.get(name, Amount())) for name in sorted({*counted, *kept})
    )


def words_of(cause: str) -> str:
    """What happened, for people."""
    known = {each.value: each for each in Cause}
    return _CAUSES.get(known[cause], cause.replace("-", " ")) if cause in known else cause


def total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, start=Amount())


def _flow(life: Life, pieces: Sequence[Piece]) -> Flow:
    begins = min(piece.begins for piece in pieces)
    ends = max(piece.ends for piece in pieces)
    beyond = ends[1] - begins[1] - sum(piece.layer2 for piece in pieces)
    amount = total(piece.amount for piece in pieces)
    return Flow(life, tuple(pieces), amount, begins, ends, beyond if beyond >= 0 else None)


def _order(flow: Flow) -> tuple[int, str, str, str, int, int, int]:
    life = flow.life
    place = (life.host, life.boot_id, life.vswitchd_start, life.port, life.number, life.epoch)
    return (-flow.amount.bytes, *place)


def _host(name: str, flows: Sequence[Flow], summed: Amount) -> HostPart:
    return HostPart(
        name,
        total(flow.amount for flow in flows),
        summed,
        len({(flow.life.boot_id, flow.life.vswitchd_start) for flow in flows}),
        len({(flow.life.boot_id, flow.life.port, flow.life.epoch) for flow in flows}),
        len(flows),
    )
