"""Audit: desired flows against what the switch dumps, by bytes.

Place: after each (re)connect and periodically; the agent puts `missing` and `wrong` and drops `orphans`; so
a restart adopts every flow that is right: its duration and counters go on. Pure. Must not touch alien flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.southbound.openflow.dump import Dump, Observed, match_terms, parse_row
from controller.southbound.openflow.encoder import Encoder
from model.flow import Flow

_Place = tuple[int, int, tuple[bytes, ...]]
"""(table, priority, sorted match): what a switch holds one flow for."""


@dataclass(frozen=True, slots=True)
class Findings:
    """`wrong`: there, but with other actions, cookie or timeouts; `orphans`: ours by mark, wanted by nobody.

    `right` and `alien` are counts; alien flows bear no mark of ours. `stood`: what the switch has in
    the place of each of `wrong`, in the same order.
    """

    missing: tuple[Flow, ...]
    wrong: tuple[Flow, ...]
    orphans: tuple[Observed, ...]
    right: int
    alien: int
    stood: tuple[Observed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.wrong or self.orphans)


def compare(encoder: Encoder, desired: Iterable[Flow], dumps: Iterable[Dump]) -> Findings:
    """What differs. `dumps` are those of all tables together; order of findings follows the inputs."""
    flows = list(desired)
    rows = encoder.rows(flows)
    wanted = set(rows)
    seen: set[bytes] = set()
    rest: list[tuple[bytes, Observed]] = []
    for dump in dumps:
        for index, row in enumerate(dump.rows()):
            if row in wanted:
                seen.add(row)
            else:
                rest.append((row, dump.entry(index)))
    absent = {row: flow for row, flow in zip(rows, flows, strict=True) if row not in seen}
    return _judge(absent, rest, len(seen))


def _judge(absent: dict[bytes, Flow], rest: list[tuple[bytes, Observed]], right: int) -> Findings:
    """Sort the few that are not byte for byte the same."""
    places: dict[_Place, list[tuple[bytes, Flow]]] = {}
    for row, flow in absent.items():
        places.setdefault(_place(row), []).append((row, flow))
    wrong: list[Flow] = []
    stood: list[Observed] = []
    orphans: list[Observed] = []
    alien = 0
    occupied: set[_Place] = set()
    for row, observed in rest:
        place = _place(row)
        candidates = places.get(place)
        if candidates is None:
            alien += not observed.ours
            if observed.ours:
                orphans.append(observed)
            continue
        occupied.add(place)
        # another order of the same terms is the same flow: some versions of OVS list them differently
        if any(_same(row, other) for other, _ in candidates):
            right += 1
        else:
            wrong.append(candidates[-1][1])
            stood.append(observed)
    missing = tuple(f for place, found in places.items() if place not in occupied for _, f in found)
    return Findings(missing, tuple(wrong), tuple(orphans), right, alien, tuple(stood))


def _place(row: bytes) -> _Place:
    table, priority, _, match, _ = parse_row(row)
    return table, priority, match_terms(match)


def _same(one: bytes, other: bytes) -> bool:
    """Equal but for the order of match terms; also timeouts, flags and importance must agree."""
    _, _, cookie, match, instructions = parse_row(one)
    _, _, other_cookie, other_match, other_instructions = parse_row(other)
    return (
        one[2:24] == other[2:24]
        and cookie == other_cookie
        and instructions == other_instructions
        and match_terms(match) == match_terms(other_match)
    )
