"""Audit: desired flows against what the switch dumps, by bytes.

Place: after each (re)connect and periodically; the agent puts `missing` and `wrong` and drops `orphans`; so
a restart adopts every flow that is right: its duration and counters go on. Pure. Must not touch alien flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from controller.southbound.openflow.dump import Dump, Observed, match_terms, parse_row
from controller.southbound.openflow.encoder import Encoder
from model.flow import Flow

_SEED: Final = 0x52F1
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
    """What differs. `desired`: no two for one place. `dumps` are those of all tables together, best table by
    table; order of findings follows the inputs.
    """
    roll = _Roll(encoder, list(desired))
    rest: list[tuple[bytes, Observed]] = []
    for dump in dumps:
        strange: list[tuple[int, bytes]] = []
        for table, indices, rows in dump.matrices():
            strange += [(int(indices[k]), rows[k].tobytes()) for k in roll.strike(table, rows)]
        rest.extend((row, dump.entry(index)) for index, row in sorted(strange))
    return _judge(roll.absent(), rest, int(roll.seen.sum()))


@dataclass(frozen=True, slots=True)
class _Form:
    """Flows of one table with rows of one length: which they are, and their rows, by a sum of the row."""

    flows: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint8]
    sums: npt.NDArray[np.uint64]


class _Roll:
    """The desired flows; those that the switch has are struck off, table by table, so that the bytes of one
    table only are held. `seen`: of each flow, whether it was struck off.

    A sum finds the row that may be the same, the bytes say whether it is: two rows of one sum cost time only.
    """

    def __init__(self, encoder: Encoder, flows: list[Flow]) -> None:
        self._encoder = encoder
        self._flows = flows
        self._tables = np.array([flow.shape.table for flow in flows], np.uint8)
        self._open: tuple[int, dict[int, _Form]] = (-1, {})
        self.seen = np.zeros(len(flows), np.bool_)

    def strike(self, table: int, rows: npt.NDArray[np.uint8]) -> list[int]:
        """Strike off the flows that these rows are; the indices of the rows that are none of them."""
        form = self._forms(table).get(rows.shape[1])
        if form is None:
            return list(range(len(rows)))
        at = np.searchsorted(form.sums, _sums(rows))
        at[at == len(form.sums)] = 0
        same = (form.rows[at] == rows).all(axis=1)
        self.seen[form.flows[at[same]]] = True
        found: list[int] = np.nonzero(~same)[0].tolist()
        return found

    def absent(self) -> dict[bytes, Flow]:
        """The flows that were not struck off, by their rows."""
        left = [self._flows[i] for i in np.nonzero(~self.seen)[0].tolist()]
        return dict(zip(self._encoder.rows(left), left, strict=True))

    def _forms(self, table: int) -> dict[int, _Form]:
        if self._open[0] != table:
            self._open = (table, {})  # let go of the one before first
            self._open = (table, self._made(np.nonzero(self._tables == table)[0]))
        return self._open[1]

    def _made(self, indices: npt.NDArray[np.int64]) -> dict[int, _Form]:
        parts: dict[int, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]] = {}
        for members, rows in self._encoder.matrices([self._flows[i] for i in indices.tolist()]):
            parts.setdefault(rows.shape[1], []).append((indices[members], rows))
        return {length: _form(some) for length, some in parts.items()}


def _form(parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]) -> _Form:
    flows = np.concatenate([some for some, _ in parts])
    rows = np.concatenate([some for _, some in parts])
    parts.clear()
    sums = _sums(rows)
    order = np.argsort(sums)
    return _Form(flows[order], rows[order], sums[order])


def _sums(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Of each row, its words times odd numbers. An ofp_flow_stats entry is a multiple of 8 octets long."""
    words = np.ascontiguousarray(rows).view(np.uint64)
    factors = np.random.default_rng(_SEED).integers(0, 1 << 63, words.shape[1], np.uint64) * 2 + 1
    found: npt.NDArray[np.uint64] = words @ factors
    return found


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
