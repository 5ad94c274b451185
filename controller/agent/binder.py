"""Binder: which ports this host should claim or give back, and the state of each interface for the report.

Place: pure; the loop compares it with what it has asked of the store already. Must not write.
An interface claims the port whose uid is its iface-id (the convention of libvirt, OpenStack and OVN), if the
port's `hosts` allow this host; the store decides between two claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.ids import PortKey, Uid
from model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Claims:
    """`bind`: present here and allowed, but not bound here; `release`: bound here, but the interface is gone."""

    bind: tuple[PortKey, ...]
    release: tuple[PortKey, ...]


@dataclass(frozen=True, slots=True)
class PortState:
    """One interface as the engineer on call wants to see it."""

    uid: Uid
    interface: str
    ofport: int
    state: str
    reason: str


def claims(snapshot: Snapshot) -> Claims:
    """What follows from interfaces, intent and bindings; needs a known switch and own declaration."""
    if snapshot.switch is None or snapshot.this() is None:
        return Claims((), ())
    present = {snapshot.by_uid[uid] for uid in snapshot.interfaces if uid in snapshot.by_uid}
    bind = sorted(
        k for k in present if not snapshot.bound_here(k) and snapshot.host in snapshot.ports[k].hosts
    )
    release = sorted(
        k
        for k, b in snapshot.bindings.items()
        if b.active and b.host == snapshot.host and (k not in present) and k in snapshot.ports
    )
    return Claims(tuple(bind), tuple(release))


def port_states(snapshot: Snapshot, refusals: dict[PortKey, str]) -> tuple[PortState, ...]:
    """One line for each interface with an iface-id, by uid."""
    return tuple(_state(snapshot, uid, refusals) for uid in sorted(snapshot.interfaces))


def _state(snapshot: Snapshot, uid: Uid, refusals: dict[PortKey, str]) -> PortState:
    interface = snapshot.interfaces[uid]
    key = snapshot.by_uid.get(uid)
    if key is None:
        return PortState(
            uid,
            interface.name,
            interface.ofport,
            "unknown",
            f"no port with this uid may be bound on {snapshot.host}: create it, or add the host to its hosts",
        )
    if snapshot.bound_here(key):
        return PortState(uid, interface.name, interface.ofport, "bound", "")
    if snapshot.host not in snapshot.ports[key].hosts:
        return PortState(
            uid,
            interface.name,
            interface.ofport,
            "refused",
            f"its hosts do not name {snapshot.host}: add it, or unplug the interface here",
        )
    return PortState(
        uid, interface.name, interface.ofport, "binding", refusals.get(key, "waiting for the store")
    )
