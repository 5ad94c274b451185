"""Aims: what was measured, beside what was wanted, in one table at the end of the whole run.

Place: made by `python -m tests.bench` of all tables. Must not measure; an aim that is missed
is shown as missed, and nothing fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.figures import Row, Table
from tests.bench.ports import KNOWN

_FEW, _MANY = (f"{known:,} ports known: " for known in KNOWN)
_PLACED = "port added and plugged, API to flows"
_WAITED = "port added, until --wait returns"
_OVN = "lsp-add, --wait=hv, "


@dataclass(frozen=True, slots=True)
class _Aim:
    """`row` and `column` name a number of a table of `bench`; `over` another row by which it is divided."""

    what: str
    most: float
    bench: str
    row: str
    column: str
    over: tuple[str, str] | None = None


_LARGE, _LARGER = (
    "gang of 1,024: 128 nodes x 8 rails, reserved",
    "gang of 5,000: 625 nodes x 8 rails, reserved",
)
_WIDE = "128 nodes x 16 rails (whereabouts #313), reserved"
_RATIO = "ratio of p50 at 10,000 ports to 1,000: "
_AIMS = (
    _Aim("100,000 flows, patch to ack, of ovs-ofctl", 0.5, "flows", "patch to last", "of ovs-ofctl"),
    _Aim("100,000 flows, snapshot to ack, of ovs-ofctl", 1.0, "flows", "snapshot to last", "of ovs-ofctl"),
    _Aim("change of 20 flows, p99 ms", 1.0, "flows", "both", "p99 ms"),
    _Aim("  beside a bulk load, p99 ms", 10.0, "flows", "patch to acknowledgement, beside", "p99 ms"),
    _Aim(_RATIO + _WAITED, 1.2, "ports", _MANY + _WAITED, "p50 ms", ("ports", _FEW + _WAITED)),
    _Aim(_RATIO + _PLACED, 1.2, "ports", _MANY + _PLACED, "p50 ms", ("ports", _FEW + _PLACED)),
    _Aim("one port at 10,000, of OVN's (no interface yet)", 0.05, "ports", _MANY + _WAITED, "p50 ms",
         ("ovn", _MANY + _OVN + "no interface yet")),
    _Aim("one port at 10,000, of OVN's (with interface)", 0.05, "ports", _MANY + _PLACED, "p50 ms",
         ("ovn", _MANY + _OVN + "interface is there")),
    _Aim("audit of 100,000 flows, ms", 500.0, "flows", "both", "median ms"),
    _Aim("  longest slice, ms", 20.0, "flows", "  of which the longest slice", "median ms"),
    _Aim("restart with 10,000 ports, s", 3.6, "ports", "until it has programmed", "median s"),
    _Aim("  of OVN's controller", 1.0, "ports", "until it has programmed", "median s",
         ("ovn", "ovn-controller killed and started")),
    _Aim("  packets lost", 0.0, "ports", "until it has programmed", "packets lost"),
    _Aim("  RSS of the agent of hv1, MB", 200.0, "ports", "agent of hv1", "RSS MB"),
    _Aim("gang of 1,024 reserved, ms", 100.0, "gangs", _LARGE, "p50 ms"),
    _Aim("gang of 5,000 reserved, ms", 500.0, "gangs", _LARGER, "p50 ms"),
    _Aim("128 nodes x 16 rails reserved, ms", 200.0, "gangs", _WIDE, "p50 ms"),
    _Aim("500,000 addresses of a /12, MB", 60.0, "gangs", "  the same scattered", "MB"),
    _Aim("  next free, us", 5.0, "gangs", "  the same scattered", "median us"),
    _Aim("5,120 ports have a gang's key, ms", 3000.0, "pkeys", "5,120 ports join: effective", "p50 ms"),
    _Aim("40,000 egress counters read, ms", 100.0, "counters", "one reading", "p50 ms"),
    _Aim("  a change is delayed by it, most ms", 10.0, "counters", "  delayed by", "most ms"),
    _Aim("a month's report of one tenant, PostgreSQL, ms", 1000.0, "ledger", "PostgreSQL: the month, by port",
         "first ms"),
    _Aim("  SQLite, ms", 1000.0, "ledger", "SQLite: the month, by port", "first ms"),
    _Aim("50,000 RT-2 packed, wire to flows, s", 10.0, "evpn", "50,000 received, packed", "s"),
    _Aim("50,000 RT-2, one in an UPDATE, s", 20.0, "evpn", "50,000 received, one in", "s"),
    _Aim("150,000 RT-2, 2 % for this host, s", 20.0, "evpn", "150,000 received, packed", "s"),
    _Aim("  agent and relay, MB", 150.0, "evpn", "150,000 received, packed", "agent+relay MB"),
)  # fmt: skip
_FLOORS = (
    _Aim("packets a second, of a bare pipeline", 0.95, "packets", "whole pipeline, plain port", "of bare"),
    _Aim(
        "packets a second beside a reading a second",
        0.95,
        "counters",
        "one reading a second",
        "of no readings",
    ),
    _Aim("connections a second with 1,000 rules, of 10 rules", 0.95, "policy", "1,000 rules", "of 10 rules"),
    _Aim("uploads of 1,000 hosts, times the need", 1.0, "ledger", "uploads by", "times the need"),
    _Aim("  by way of the API", 1.0, "ledger", "through the API", "times the need"),
)


def summary(results: Mapping[str, Sequence[Table]]) -> Table:
    """Aims whose benchmarks were not run are left out."""
    rows = []
    for aim, sign in (*((aim, 1) for aim in _AIMS), *((aim, -1) for aim in _FLOORS)):
        found = _find(results, aim.bench, aim.row, aim.column)
        if found is not None and aim.over is not None:
            other = _find(results, *aim.over, aim.column if aim.over[0] != "ovn" else "")
            found = found / other if other else None
        if found is not None:
            reached = sign * found <= sign * aim.most
            rows.append(Row(aim.what, (found, aim.most, "yes" if reached else "no")))
    return Table("Aims", ("measured", "aim", "reached"), tuple(rows))


def _find(results: Mapping[str, Sequence[Table]], bench: str, row: str, column: str) -> float | None:
    """The number of the first row that begins so, in a table with this column ("": the first number)."""
    for table in results.get(bench, ()):
        if column and column not in table.columns:
            continue
        for each in table.rows:
            if each.what.startswith(row):
                numbers = each.numbers if not column else (each.numbers[table.columns.index(column)],)
                return next((n for n in numbers if isinstance(n, (int, float))), None)
    return None
