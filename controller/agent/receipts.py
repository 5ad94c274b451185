"""Receipts: what an audit found and mended, in words, for the operator who asks who touched the switch.

Place: pure; `controller.agent.switching` says what was mended, the loop keeps the receipts in the report.
Must not decode matches or actions from bytes: of a flow that is not ours to write, only table, priority,
cookie and counters are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from controller.southbound.openflow.audit import Findings
from controller.southbound.openflow.dump import Observed
from controller.southbound.openflow.groups import Righted
from model.flow import Flow
from model.ids import NetworkKey, PortKey, TenantKey
from model.report import MAX_RECEIPTS, DriftReceipt, Finding, Mending
from model.snapshot import Snapshot
from model.vrfs import title
from pipelines import cookies, render, tables
from pipelines.cookies import Cookie, Kind

OFTEN: Final = 3
"""So many receipts of one flow within WINDOW_MS are an alarm."""
WINDOW_MS: Final = 600_000
"""Ten minutes."""
_LONGEST: Final = 400
"""Characters of a flow in a receipt: fifty of them travel with each report."""
_NAMED: Final = 3
"""Flows that alarms name at most."""


@dataclass(frozen=True, slots=True)
class Mended:
    """One finding. `wanted`: the flow that was put; `stood`: the one that was there, with its counters.
    `group`: the number of a group instead."""

    finding: Finding
    action: Mending
    wanted: Flow | None = None
    stood: Observed | None = None
    group: int | None = None


def mended(
    findings: Findings,
    refused: frozenset[Flow],
    swept: Iterable[Observed],
    righted: Iterable[Righted] = (),
) -> Iterator[Mended]:
    """What was done about each finding: groups first, whose flows a switch deletes with them, then wrong
    flows, orphans (`swept`), and missing ones."""

    def put(flow: Flow) -> Mending:
        return Mending.REFUSED if flow in refused else Mending.PUT

    for group in righted:
        finding = Finding.WRONG if group.stood else Finding.MISSING
        yield Mended(finding, Mending.PUT, group=group.number)
    for flow, stood in zip(findings.wrong, findings.stood, strict=True):
        yield Mended(Finding.WRONG, put(flow), flow, stood)
    for stood in swept:
        yield Mended(Finding.ORPHAN, Mending.DELETED, None, stood)
    for flow in findings.missing:
        yield Mended(Finding.MISSING, put(flow), flow)


def receipt(item: Mended, snapshot: Snapshot, at_ms: int) -> DriftReceipt:
    """In the words of today's names; what has none any more is shown by its number."""
    packets, octets = (item.stood.packets, item.stood.octets) if item.stood else (0, 0)
    words = _words(item, snapshot)
    text = words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."
    return DriftReceipt(at_ms, item.finding, item.action, text, packets, octets)


def keep(before: tuple[DriftReceipt, ...], more: Iterable[DriftReceipt]) -> tuple[DriftReceipt, ...]:
    """The last ones, oldest first."""
    return (*before, *more)[-MAX_RECEIPTS:]


def alarms(kept: tuple[DriftReceipt, ...], now_ms: int) -> tuple[str, ...]:
    """Flows that somebody changes again and again: whatever does it must be stopped, not mended after."""
    recent = Counter(r.flow for r in kept if now_ms - r.at_ms < WINDOW_MS)
    often = [(flow, count) for flow, count in sorted(recent.items()) if count >= OFTEN]
    minutes = WINDOW_MS // 60_000
    named = [
        f"changed by somebody else {count} times in {minutes} minutes: {flow}"
        for flow, count in often[:_NAMED]
    ]
    rest = len(often) - len(named)
    return (*named, f"and {rest} flows more: ringfence drift") if rest else tuple(named)


def _words(item: Mended, snapshot: Snapshot) -> str:
    if item.group is not None:
        text = f"host: group {item.group:#x}, which shares load among next hops"
        return f"{text}; it had other buckets" if item.finding is Finding.WRONG else text
    if item.wanted is None:
        return _observed(item.stood, snapshot) if item.stood is not None else "a flow"
    text = f"{owner(item.wanted.cookie, snapshot)}: {render.named(item.wanted)}"
    if item.stood is None:
        return text
    if item.stood.cookie != item.wanted.cookie:
        there = f"cookie {item.stood.cookie:#018x}, {owner(item.stood.cookie, snapshot)}"
        return f"{text}; there was another ({there})"
    return f"{text}; there were other actions or timeouts"


def _observed(stood: Observed, snapshot: Snapshot) -> str:
    """Of one that nobody wants."""
    known = {table.number: table.name for table in tables.TABLES}
    return (
        f"{owner(stood.cookie, snapshot)}: cookie={stood.cookie:#x},"
        f"table={known.get(stood.table, stood.table)},priority={stood.priority}"
    )


def owner(cookie: int, snapshot: Snapshot) -> str:
    """What a cookie stands for, by name."""
    parsed = cookies.parse(cookie)
    return "not ours" if parsed is None else _owner(parsed, snapshot)


def _owner(cookie: Cookie, snapshot: Snapshot) -> str:
    match cookie.kind:
        case Kind.HOST:
            return "host"
        case Kind.NETWORK:
            return f"network {_network(cookie.network, snapshot)}"
        case Kind.REMOTE:
            return f"remote MAC of network {_network(cookie.network, snapshot)}"
        case Kind.PORT | Kind.ANNOUNCE | Kind.ASKED:
            return f"port {_port(cookie.port, snapshot)}"
        case Kind.ACCOUNT | Kind.ACCOUNT_IN:
            return f"counter of port {_port(cookie.port, snapshot)}"
        case Kind.PROBE:
            return "path probes"
        case Kind.GROUP:
            return "ports that the same rules judge"
        case Kind.VRF | Kind.TOLD | Kind.PREFIX:
            if cookie.tenant in snapshot.externals or cookie.tenant in snapshot.peerings:
                return title(snapshot, cookie.tenant)
            return f"tenant {_tenant(cookie.tenant, snapshot)}"


def _tenant(key: TenantKey, snapshot: Snapshot) -> str:
    tenant = snapshot.tenants.get(key)
    return tenant.name if tenant else f"with key {key}"


def _network(key: NetworkKey, snapshot: Snapshot) -> str:
    network = snapshot.networks.get(key)
    return f"{_tenant(network.tenant, snapshot)}/{network.name}" if network else f"with key {key}"


def _port(key: PortKey, snapshot: Snapshot) -> str:
    port = snapshot.ports.get(key)
    if port is None:
        return f"with key {key}"
    network = snapshot.networks.get(port.network)
    return f"{_tenant(network.tenant, snapshot)}/{port.name}" if network else port.name
