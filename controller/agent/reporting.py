"""Reporting: the core's state as the report that `ringfence status` shows.

Place: pure; the loop hands the result to the keeper. Must not hold a secret: every agent can read reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bgp import learn, show
from controller.agent import binder
from controller.agent.core import Core
from model.addresses import format_mac
from model.ids import HostName, Mac, NetworkKey
from model.report import (
    Drift,
    DriftReceipt,
    EvpnReport,
    LearnedReport,
    PeerReport,
    RejectedReport,
    Report,
    State,
)
from model.route import Rejected
from model.snapshot import Snapshot

SAMPLE: Final = 500
"""Routes shown at most, of each sort."""
VERSION: Final = "0.1.0"
_NO_DRIFT: Final = Drift()


@dataclass(frozen=True, slots=True)
class Circumstance:
    """What the loop knows besides the core. `peers`: address -> state; `alarms`: what is wrong now, in
    words."""

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


def report(core: Core, around: Circumstance, stamp_ms: int, since_ms: int) -> Report:
    """The report of now; `since_ms`: when the state was entered."""
    state, reason = judge(core, around)
    snapshot = core.effective
    return Report(
        host=snapshot.host,
        stamp_ms=stamp_ms,
        generation=snapshot.cluster.generation if snapshot.cluster and core.session else 0,
        state=state,
        reason=reason,
        since_ms=since_ms,
        ports=binder.port_reports(snapshot, core.refusals),
        flows=len(core.program.claims),
        drift=around.drift,
        evpn=_evpn(core, around),
        datapath=snapshot.switch.datapath if snapshot.switch else "",
        version=VERSION,
        stop=core.stop.token if core.stop is not None else "",
        confirm=core.confirmed,
        receipts=around.receipts,
    )


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


def _evpn(core: Core, around: Circumstance) -> EvpnReport:
    snapshot = core.effective
    refused = learn.rejected(core.table)
    learned = sorted(snapshot.remotes)[:SAMPLE]
    floods = sorted(snapshot.floods, key=lambda k: (k[0], str(k[1])))[:SAMPLE]
    names = {"up": "established", "down": "connect"}
    return EvpnReport(
        peers=tuple(PeerReport(p, names.get(s, s)) for p, s in sorted(around.peers.items())),
        originated=len(core.routes.routes),
        learned=len(snapshot.remotes) + len(snapshot.floods),
        refused=len(refused),
        missing=missing(snapshot),
        rejected=tuple(_rejected(r) for r in refused[:SAMPLE]),
        learned_routes=(
            *(_mac(core, *key) for key in learned),
            *(LearnedReport("flood", _network(snapshot, n), str(vtep)) for n, vtep in floods),
        ),
    )


def missing(snapshot: Snapshot) -> int:
    """Routes that the store lets expect here, and that have not come.

    In networks that live here, of a port that one of our agents has: its MAC with all its addresses, and its
    host's RT-3. Of a port on an external host: its MAC alone, since such a host says addresses only once it
    has learned them. In other routed networks of the same tenants: the addresses alone, with a router MAC.
    """
    local = {key for key in snapshot.by_network if _lives_in(snapshot, key)}
    tenants = {snapshot.networks[key].tenant for key in local if key in snapshot.networks}
    far = (k for k, n in snapshot.networks.items() if n.tenant in tenants and k not in local)
    return sum(_missing_in(snapshot, key) for key in local) + sum(_missing_far(snapshot, key) for key in far)


def _lives_in(snapshot: Snapshot, network: NetworkKey) -> bool:
    return any(snapshot.bound_here(key) for key in snapshot.by_network[network])


def _missing_far(snapshot: Snapshot, key: NetworkKey) -> int:
    """Host routes (RFC 9135 section 5) to a network that has no port here."""
    network = snapshot.networks[key]
    tenant = snapshot.tenants.get(network.tenant)
    if not network.routed or tenant is None or not tenant.l3vni:
        return 0
    count = 0
    for port in snapshot.ports_of(key):
        binding, remote = snapshot.bindings.get(port.key), snapshot.remotes.get((key, port.mac))
        if binding is not None and binding.active and port.addresses:
            reached = remote is not None and remote.router_mac is not None
            count += not reached or not set(port.addresses) <= set(remote.addresses if remote else ())
    return count


def _missing_in(snapshot: Snapshot, network: NetworkKey) -> int:
    ports = snapshot.ports_of(network)
    count, places = 0, set()
    for port in ports:
        binding, remote = snapshot.bindings.get(port.key), snapshot.remotes.get((network, port.mac))
        if binding is not None and binding.active:
            if binding.host != snapshot.host:
                places.add(binding.host)
                count += remote is None or not set(port.addresses) <= set(remote.addresses)
        elif _any_external(snapshot, port.hosts):
            count += remote is None
    for place in places:
        host = snapshot.hypervisors.get(place)
        count += host is not None and (network, host.vtep) not in snapshot.floods
    return count


def _any_external(snapshot: Snapshot, hosts: Iterable[HostName]) -> bool:
    found = (snapshot.hypervisors.get(h) for h in hosts)
    return any(h is not None and h.external for h in found)


def _mac(core: Core, network: NetworkKey, mac: Mac) -> LearnedReport:
    snapshot = core.effective
    remote = snapshot.remotes[network, mac]
    owner = core.table.lookup.port(network, mac)
    return LearnedReport(
        kind="mac",
        network=_network(snapshot, network),
        vtep=str(remote.vtep),
        mac=format_mac(mac),
        addresses=tuple(str(a) for a in remote.addresses),
        sequence=remote.sequence,
        port="" if owner is None or owner not in snapshot.ports else snapshot.ports[owner].name,
    )


def _network(snapshot: Snapshot, key: NetworkKey) -> str:
    network = snapshot.networks.get(key)
    if network is None:
        return f"network {key}"
    tenant = snapshot.tenants.get(network.tenant)
    return f"{tenant.name if tenant else network.tenant}/{network.name}"


def _rejected(refused: Rejected) -> RejectedReport:
    return RejectedReport(show.text(refused.route), refused.peer, refused.reason)
