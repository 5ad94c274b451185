"""Binder: which ports this host should claim or give back, and the state of each interface for the report.

Place: pure; the loop compares it with what it has asked of the store already. Must not write.
An interface claims the port whose uid is its iface-id (the convention of libvirt, OpenStack and OVN), if the
port's `hosts` allow this host; the store decides between two claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from model.change import Change, Part
from model.ids import PortKey, Uid
from model.intent import Port
from model.inventory import Interface
from model.report import PortReport, PortState
from model.serving import IFACE_ID
from model.snapshot import Snapshot
from pipelines.index import waits

_NEAR: Final = (Part.PORT, Part.BINDING, Part.INTERFACE, Part.SWITCH, Part.HYPERVISOR)


@dataclass(frozen=True, slots=True)
class Claims:
    """`bind`: present here and allowed, but not bound here; `release`: bound here, but the interface is
    gone."""

    bind: tuple[PortKey, ...]
    release: tuple[PortKey, ...]


def claims(
    snapshot: Snapshot, ports: Iterable[PortKey], announced: frozenset[PortKey] = frozenset()
) -> Claims:
    """What follows for `ports` (those that a change touched); needs a known switch and own declaration.

    A port that is moving here is claimed once its workload has announced itself (`announced`), or the
    operator said so.
    """
    if snapshot.switch is None or snapshot.this() is None or snapshot.fenced():
        return Claims((), ())
    bind, release = [], []
    for key in sorted(set(ports)):
        port = snapshot.ports.get(key)
        if port is None:
            continue
        here = plugged(snapshot, port.uid)
        if here and snapshot.host in port.hosts and not snapshot.bound_here(key):
            if port.activate or key in announced or not waits(snapshot, key):
                bind.append(key)
        elif not here and snapshot.bound_here(key):
            release.append(key)
    return Claims(tuple(bind), tuple(release))


def plugged(snapshot: Snapshot, uid: Uid) -> bool:
    """Whether an interface that works serves this port here."""
    interface = snapshot.interfaces.get(uid)
    return interface is not None and interface.ofport > 0


def lives_here(snapshot: Snapshot, key: PortKey) -> bool:
    """Whether a port has flows on this host."""
    port = snapshot.ports.get(key)
    if port is None or not port.enabled:
        return False
    return plugged(snapshot, port.uid) and snapshot.bound_here(key)


def near(changes: Iterable[Change]) -> frozenset[Change]:
    """Those that claims can follow from: `touched` of these is `touched` of all, and routes are thousands."""
    return frozenset(change for change in changes if change.part in _NEAR)


def concerned(snapshot: Snapshot) -> frozenset[PortKey]:
    """The ports that are bound or plugged in here: those that a lease is about."""
    bound = {key for key, binding in snapshot.bindings.items() if binding.host == snapshot.host}
    return frozenset(bound | {key for uid in snapshot.interfaces if (key := snapshot.by_uid.get(uid))})


def touched(snapshot: Snapshot, changes: Iterable[Change]) -> frozenset[PortKey]:
    """The ports whose claim may differ after `changes`; all of them if the switch or this host's row
    changed."""
    keys: set[PortKey] = set()
    for change in changes:
        if change.part in (Part.PORT, Part.BINDING):
            keys.add(change.key)  # type: ignore[arg-type]
        elif change.part is Part.INTERFACE and change.key in snapshot.by_uid:
            keys.add(snapshot.by_uid[change.key])  # type: ignore[index]
        elif change.part is Part.SWITCH or change == Change(Part.HYPERVISOR, snapshot.host):
            return frozenset(snapshot.ports)
    return frozenset(keys)


def port_reports(snapshot: Snapshot, refusals: Mapping[PortKey, str]) -> tuple[PortReport, ...]:
    """One line for each interface with an iface-id, by uid."""
    return tuple(_report(snapshot, uid, refusals) for uid in sorted(snapshot.interfaces) if uid != IFACE_ID)


def port_report(snapshot: Snapshot, uid: Uid, refusals: Mapping[PortKey, str]) -> PortReport | None:
    """The line of one interface; None if there is none with this iface-id."""
    return _report(snapshot, uid, refusals) if uid in snapshot.interfaces and uid != IFACE_ID else None


def _living(interface: Interface, port: Port) -> tuple[PortState, str]:
    """The state of a port that is bound here, and why it passes nothing, if so."""
    if not port.enabled:
        return PortState.DISABLED, f"{interface.name}: the tenant disabled it: set spec.enabled to true"
    if not interface.up:
        return PortState.DOWN, f"{interface.name}: the link is down: look at the workload, or set it up here"
    return PortState.ACTIVE, ""


def _report(snapshot: Snapshot, uid: Uid, refusals: Mapping[PortKey, str]) -> PortReport:
    interface = snapshot.interfaces[uid]
    key = snapshot.by_uid.get(uid)
    if not interface.ofport:
        return PortReport(
            uid,
            PortState.ERROR,
            f"Open vSwitch could not make {interface.name}: see its `error` (ovs-vsctl list Interface)",
        )
    if key is None:
        return PortReport(
            uid,
            PortState.UNKNOWN,
            f"{interface.name}: no port with this uid may be bound on {snapshot.host}: create it, or add the "
            "host to its hosts",
            interface.ofport,
        )
    if snapshot.fenced() and snapshot.host in snapshot.ports[key].hosts:
        this = snapshot.hypervisors[snapshot.host]
        return PortReport(
            uid,
            PortState.STANDBY,
            f"{interface.name}: {snapshot.host} does not hold the lease that it shares with {this.partner}",
            interface.ofport,
        )
    if snapshot.bound_here(key):
        state, reason = _living(interface, snapshot.ports[key])
        return PortReport(uid, state, reason, interface.ofport)
    if snapshot.host not in snapshot.ports[key].hosts:
        return PortReport(
            uid,
            PortState.REFUSED,
            f"{interface.name}: hosts of the port do not name {snapshot.host}: add it, or unplug it here",
            interface.ofport,
        )
    if waits(snapshot, key):
        return PortReport(
            uid,
            PortState.MOVING,
            f"{interface.name}: moving here from {snapshot.bindings[key].host}, waits for the workload's "
            "announcement (RARP, gratuitous ARP), or for `ringfence migrate --activate`",
            interface.ofport,
        )
    if key in refusals:
        return PortReport(uid, PortState.REFUSED, f"{interface.name}: {refusals[key]}", interface.ofport)
    return PortReport(uid, PortState.PENDING, f"{interface.name}: waiting for the store", interface.ofport)
