"""Reporting: the core's state as the report that `ringfence status` shows.

Place: pure; the loop hands the result to the keeper. Must not hold a secret: every agent can read reports.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bgp import judging, learn, show
from bgp.table import prefix_order
from controller.agent import binder, expecting
from controller.agent.core import Core
from controller.agent.titles import network_title
from model.addresses import format_mac
from model.asked import NOTHING, Asked
from model.ids import Mac, NetworkKey
from model.report import (
    Drift,
    DriftReceipt,
    EgressReport,
    EvpnReport,
    LearnedReport,
    PeerReport,
    RejectedReport,
    Report,
    State,
)
from model.route import Rejected
from model.sighting import Sighting
from model.snapshot import Snapshot
from model.vrfs import title

SAMPLE: Final = 500
"""Routes shown at most, of each sort."""
VERSION: Final = "0.1.0"
_NO_DRIFT: Final = Drift()
_NO_DEVICES: Final = Sighting()


@dataclass(frozen=True, slots=True)
class Circumstance:
    """What the loop knows besides the core. `peers`: address -> "up", or "down" and why; `alarms`: what is
    wrong now, in words."""

    peers: Mapping[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    drift: Drift = _NO_DRIFT
    receipts: tuple[DriftReceipt, ...] = ()
    store: str = ""
    """Why the store is not followed; empty if it is."""
    bridge: str = ""
    """Why bridge, tunnel port and controller could not be made; empty if they were."""
    speaker: str = ""
    """Why the speaker is not attached; empty if it is, or if there is none."""
    underlay: int = 0
    """The smallest MTU on the way to other VTEPs, 0 = not known."""
    devices: Sighting = _NO_DEVICES
    """What NICs and GPUs there are."""
    lease: str = ""
    """Who serves the ports of this host and its partner; empty if it has none."""
    counted_ms: int = 0
    """All that was counted up to then is in the egress ledger; 0 = not known."""
    egress: EgressReport | None = None
    """How this host counts."""
    asked: Asked = NOTHING
    """What became of the questions that ports asked."""
    turns: tuple[int, int] = (0, 0)
    """How many changes of flows were made, and how many of them the data path goes by for sure."""


def head(core: Core, around: Circumstance, stamp_ms: int, since_ms: int, missing: int) -> Report:
    """The report of now without what is long: interfaces, routes, receipts, devices.

    `since_ms`: when the state was entered; `missing`: see `expecting`.
    """
    state, reason = judge(core, around)
    snapshot = core.effective
    return Report(
        host=snapshot.host,
        stamp_ms=stamp_ms,
        generation=snapshot.cluster.generation if snapshot.cluster and core.session else 0,
        state=state,
        reason=reason,
        since_ms=since_ms,
        flows=len(core.program.claims),
        drift=around.drift,
        evpn=_evpn(core, around, missing),
        datapath=snapshot.switch.datapath if snapshot.switch else "",
        version=VERSION,
        stop=core.stop.token if core.stop is not None else "",
        confirm=core.confirmed,
        underlay=around.underlay,
        lease=around.lease,
        counted_ms=around.counted_ms,
        egress=around.egress,
        asked=Asked(around.asked.totals),
    )


def details(core: Core, around: Circumstance, brief: Report) -> Report:
    """`brief` with samples of the routes, with the receipts and the devices."""
    snapshot = core.effective
    learned = heapq.nsmallest(SAMPLE, snapshot.remotes)
    floods = heapq.nsmallest(SAMPLE, snapshot.floods, key=lambda k: (k[0], str(k[1])))
    evpn = replace(
        brief.evpn,
        rejected=tuple(_rejected(r) for r in learn.rejected(core.table)[:SAMPLE]),
        learned_routes=(
            *(_mac(core, *key) for key in learned),
            *(LearnedReport("flood", network_title(snapshot, n), str(vtep)) for n, vtep in floods),
            *_prefixes(snapshot),
            *_addresses(snapshot),
        ),
    )
    return replace(brief, evpn=evpn, receipts=around.receipts, devices=around.devices, asked=around.asked)


def report(core: Core, around: Circumstance, stamp_ms: int, since_ms: int) -> Report:
    """All that there is to say, from nothing."""
    brief = head(core, around, stamp_ms, since_ms, expecting.missing(core.effective))
    ports = binder.port_reports(core.effective, core.refusals)
    return replace(details(core, around, brief), ports=ports)


def judge(core: Core, around: Circumstance) -> tuple[State, str]:
    """One state, the gravest that holds, and why."""
    if core.stop is not None:
        stop, host = core.stop, core.effective.host
        remedy = f"ringfence confirm {host} {stop.token}" if stop.token else f"ringfence unfreeze {host}"
        return State.FROZEN, f"{stop.rule}: {stop.message}; data plane unchanged; to go on: {remedy}"
    if core.effective.cluster is None:
        return State.STARTING, around.store or "the store has not been read yet"
    if core.effective.this() is None:
        host = core.effective.host
        return State.WAITING, f"no Hypervisor {host!r} is declared: apply one, with its VTEP"
    if core.effective.switch is None or not core.session:
        return State.DEGRADED, around.bridge or "no session with Open vSwitch: is ovs-vswitchd running?"
    reasons = [reason for reason in (around.store, around.speaker) if reason]
    reasons += [
        f"BGP peer {peer} is {state}" for peer, state in sorted(around.peers.items()) if state != "up"
    ]
    reasons += around.alarms
    if reasons:
        return State.DEGRADED, "; ".join(reasons)
    return State.IN_SYNC, ""


def _evpn(core: Core, around: Circumstance, missing: int) -> EvpnReport:
    snapshot = core.effective
    return EvpnReport(
        peers=tuple(
            PeerReport(p, "established" if s == "up" else "connect") for p, s in sorted(around.peers.items())
        ),
        originated=len(core.routes.routes),
        learned=len(snapshot.remotes) + len(snapshot.floods) + len(snapshot.prefixes) + len(snapshot.claimed),
        refused=len(core.table.refused),
        missing=missing,
        damped=len(core.table.damped),
        tolerated=len(core.table.tolerated),
        full=judging.alarms(core.table),
    )


def _mac(core: Core, network: NetworkKey, mac: Mac) -> LearnedReport:
    snapshot = core.effective
    remote = snapshot.remotes[network, mac]
    owner = core.table.lookup.port(network, mac)
    return LearnedReport(
        kind="mac",
        network=network_title(snapshot, network),
        vtep=str(remote.vtep),
        mac=format_mac(mac),
        addresses=tuple(str(a) for a in remote.addresses),
        sequence=remote.sequence,
        port="" if owner is None or owner not in snapshot.ports else snapshot.ports[owner].name,
    )


def _prefixes(snapshot: Snapshot) -> Iterator[LearnedReport]:
    """A row for each next hop of each prefix in use."""
    order = sorted(snapshot.prefixes, key=lambda one: (one[0], prefix_order(one[1])))
    for vrf, prefix in order[:SAMPLE]:
        for hop in snapshot.prefixes[vrf, prefix].hops:
            yield LearnedReport(
                kind="prefix",
                network=title(snapshot, vrf),
                vtep=str(hop.vtep),
                mac=format_mac(hop.router_mac),
                addresses=(str(prefix),),
            )


def _addresses(snapshot: Snapshot) -> Iterator[LearnedReport]:
    """Addresses of allowed pairs that are behind tunnels."""
    for spot in heapq.nsmallest(SAMPLE, snapshot.claimed, key=lambda k: (k[0], str(k[1]))):
        known = snapshot.claimed[spot]
        yield LearnedReport(
            kind="address",
            network=network_title(snapshot, known.network),
            vtep=str(known.vtep),
            mac=format_mac(known.mac),
            addresses=(str(known.address),),
            sequence=known.sequence,
        )


def _rejected(refused: Rejected) -> RejectedReport:
    return RejectedReport(show.text(refused.route), refused.peer, refused.reason)
