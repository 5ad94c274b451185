"""Verdict: whether a ledger is right about traffic that was witnessed. Pure.

Place: the judge of the torture test, given plain numbers by it, and tried by tests of its own with ledgers
that are wrong. Must not know how traffic is made, nor read anything.

What is known of each cell (port, class): what left the port by its interface's own counter (`left`), which is
the most that may be billed, and what came out where it was sent to (`came`), which is the least. The two
differ by what was refused or lost on the way, for example while a switch was dead. Where all came, only the
exact figure passes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ETHERNET: Final = 14
"""Bounds of gaps are layer-2 bytes; all other bytes here are layer 3."""
RUN_ENDED: Final = "vswitchd-ended"
MOVED: Final = "pass-moved"
"""A gap of a change at which nothing could be proven: what was counted meanwhile is not billed."""
DARKEST: Final = 0.5
"""If more than this share of a tenant's bytes neither came nor was refused for sure, there was no witness."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A port ("tenant/port") and a class by its name."""

    port: str
    name: str


@dataclass(frozen=True, slots=True)
class Amount:
    """Datagrams and layer-3 bytes."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.packets - other.packets, self.bytes - other.bytes)


NOTHING: Final = Amount()


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one cell. `fleeting`: bytes that may have been credited to nothing because their destination went
    while they were sent (docs/accounting.md); 0 where no destination ever goes."""

    left: Amount
    came: Amount
    fleeting: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """As the ledger has it. `run`: which life of ovs-vswitchd; `bound`: layer-2 bytes, None = unknown."""

    port: str
    host: str
    run: str
    cause: str
    bound: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict is made of.

    `stray`: frames besides the counted datagrams that left a port: they may be billed, as its own network.
    `kills`: how often ovs-vswitchd was killed, by host. `shifts`: how many changes could have moved the pass
    or the class in which ports of a host are counted. `told`: what the reports say, by tenant and class.
    """

    seen: Mapping[Cell, Seen]
    billed: Mapping[Cell, Amount]
    gaps: tuple[Gap, ...] = ()
    kills: Mapping[str, int] = field(default_factory=dict)
    shifts: int = 0
    stray: Mapping[str, Amount] = field(default_factory=dict)
    told: Mapping[Cell, Amount] = field(default_factory=dict)
    own_class: str = "same-network"


@dataclass(frozen=True, slots=True)
class Line:
    """Sums of one tenant and class, for people. `exact`: cells billed to the byte, of `cells`."""

    tenant: str
    name: str
    left: Amount
    came: Amount
    billed: Amount
    cells: int
    exact: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings`: what is wrong, nothing if the ledger is right. `missing`: bytes that came and are not
    billed; `declared`: the sum of all gaps' bounds, layer 2."""

    findings: tuple[str, ...]
    lines: tuple[Line, ...]
    missing: int
    declared: int
    causes: Mapping[str, int]


def judge(evidence: Evidence) -> Verdict:
    """Every rule, and the sums."""
    bounds = _bounds(evidence.gaps)
    findings = [
        *_causes(evidence),
        *_too_much(evidence),
        *_too_little(evidence, bounds),
        *_reports(evidence),
        *_witnesses(evidence),
    ]
    lines = _lines(evidence)
    missing = sum(
        max(0, seen.came.bytes - evidence.billed.get(cell, NOTHING).bytes)
        for cell, seen in evidence.seen.items()
    )
    declared = sum(gap.bound or 0 for gap in evidence.gaps)
    causes = Counter(gap.cause for gap in evidence.gaps)
    return Verdict(tuple(findings), lines, missing, declared, dict(sorted(causes.items())))


def _bounds(gaps: tuple[Gap, ...]) -> dict[str, float]:
    """Bytes that may be missing, by port."""
    found: dict[str, float] = {}
    for gap in gaps:
        found[gap.port] = found.get(gap.port, 0) + (math.inf if gap.bound is None else gap.bound)
    return found


def _causes(evidence: Evidence) -> list[str]:
    """Only what was done to a host may have left a gap, and no more often than it was done."""
    found = []
    for gap in evidence.gaps:
        if gap.cause not in (RUN_ENDED, MOVED):
            found.append(f"{gap.port} on {gap.host}: a gap {gap.cause}, which nothing explains")
        if gap.bound is None:
            found.append(f"{gap.port} on {gap.host}: a gap {gap.cause} without a bound")
    ended = {(gap.host, gap.run) for gap in evidence.gaps if gap.cause == RUN_ENDED}
    for host, lives in sorted(Counter(host for host, _ in ended).items()):
        if lives > evidence.kills.get(host, 0):
            killed = evidence.kills.get(host, 0)
            found.append(f"{host}: gaps of {lives} ended switches, but {killed} were killed")
    moved = Counter((gap.port, gap.host) for gap in evidence.gaps if gap.cause == MOVED)
    for (port, host), times in sorted(moved.items()):
        if times > evidence.shifts:
            found.append(f"{port} on {host}: {times} gaps {MOVED}, but {evidence.shifts} changes")
    twice = Counter((gap.port, gap.host, gap.run) for gap in evidence.gaps if gap.cause == RUN_ENDED)
    for (port, host, _), times in sorted(twice.items()):
        if times > 1:
            found.append(f"{port} on {host}: {times} gaps of one ended switch")
    return found


def _too_much(evidence: Evidence) -> list[str]:
    """No byte twice, and none in a class in which it was not sent: no gap admits one."""
    found = []
    for cell in sorted(evidence.seen.keys() | evidence.billed.keys()):
        seen, billed = evidence.seen.get(cell, Seen(NOTHING, NOTHING)), evidence.billed.get(cell, NOTHING)
        stray = evidence.stray.get(cell.port, NOTHING) if cell.name == evidence.own_class else NOTHING
        most = seen.left + stray
        if billed.bytes > most.bytes or billed.packets > most.packets:
            found.append(f"{cell.port} {cell.name}: {_words(billed)} billed, {_words(most)} left the port")
    return found


def _too_little(evidence: Evidence, bounds: Mapping[str, float]) -> list[str]:
    """What came and was not billed lies within what gaps admit."""
    lacking: dict[str, Amount] = {}
    for cell, seen in evidence.seen.items():
        billed = evidence.billed.get(cell, NOTHING)
        short = Amount(
            max(0, seen.came.packets - billed.packets),
            max(0, seen.came.bytes - billed.bytes - seen.fleeting),
        )
        if short.bytes:
            lacking[cell.port] = lacking.get(cell.port, NOTHING) + short
    found = []
    for port, short in sorted(lacking.items()):
        bound = bounds.get(port, 0)
        if short.bytes + ETHERNET * short.packets > bound:
            found.append(f"{port}: {_words(short)} came and were not billed; its gaps admit {bound} bytes")
    return found


def _reports(evidence: Evidence) -> list[str]:
    """What a customer is told is the sum of the intervals."""
    sums: dict[Cell, Amount] = {}
    for cell, amount in evidence.billed.items():
        key = Cell(tenant_of(cell), cell.name)
        sums[key] = sums.get(key, NOTHING) + amount
    found = []
    for cell in sorted(sums.keys() | evidence.told.keys()):
        kept, told = sums.get(cell, NOTHING), evidence.told.get(cell, NOTHING)
        if kept != told:
            found.append(f"{cell.port} {cell.name}: {_words(told)} reported, {_words(kept)} in the intervals")
    return found


def _witnesses(evidence: Evidence) -> list[str]:
    """A witness that saw nothing, or more than there was, proves nothing."""
    found = []
    for cell, seen in sorted(evidence.seen.items()):
        if not seen.came.bytes and not seen.fleeting:
            found.append(f"{cell.port} {cell.name}: nothing came, so that nothing is proven")
        if seen.came.bytes > seen.left.bytes or seen.came.packets > seen.left.packets:
            found.append(f"{cell.port} {cell.name}: more came than left the port")
    strict: dict[str, Amount] = {}
    dark: dict[str, Amount] = {}
    for cell, seen in evidence.seen.items():
        if not seen.fleeting:
            tenant = tenant_of(cell)
            strict[tenant] = strict.get(tenant, NOTHING) + seen.left
            dark[tenant] = dark.get(tenant, NOTHING) + (seen.left - seen.came)
    for tenant in sorted(strict):
        if dark[tenant].bytes > DARKEST * strict[tenant].bytes:
            found.append(
                f"{tenant}: {_words(dark[tenant])} of {_words(strict[tenant])} never came: no witness"
            )
    return found


def _lines(evidence: Evidence) -> tuple[Line, ...]:
    found: dict[tuple[str, str], Line] = {}
    for cell in sorted(evidence.seen.keys() | evidence.billed.keys()):
        seen, billed = evidence.seen.get(cell, Seen(NOTHING, NOTHING)), evidence.billed.get(cell, NOTHING)
        key = (tenant_of(cell), cell.name)
        old = found.get(key, Line(*key, NOTHING, NOTHING, NOTHING, 0, 0))
        found[key] = Line(
            *key,
            old.left + seen.left,
            old.came + seen.came,
            old.billed + billed,
            old.cells + 1,
            old.exact + (seen.left == seen.came == billed),
        )
    return tuple(found[key] for key in sorted(found))


def tenant_of(cell: Cell) -> str:
    """The tenant whose port it is."""
    return cell.port.partition("/")[0]


def _words(amount: Amount) -> str:
    return f"{amount.packets} packets, {amount.bytes} bytes"
