"""Zones: which conntrack zones this host has given out, for what, and how many connections each may have.

Place: asked by `controller.agent.core` for each next snapshot. A port with a floating IP has a zone of its
own, and so has each tenant that this host translates for (docs/decisions/0015); a port under policy has one
of another kind (docs/decisions/0058). Pure. Must not flush anything.

Numbers are this host's own and outlive the agent (`controller.agent.disk`), so that a restart breaks no
connection. A zone is flushed before it is used again, by commands that go before the flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from immutables import Map

from controller.agent import binder, commands, state
from controller.agent.shares import Shares
from model.change import Change, Part
from model.ids import PortKey, TenantKey, Uid
from model.intent import Egress
from model.snapshot import Snapshot, ZoneKey
from pipelines.policy import seated
from pipelines.policy.entries import Entry, concerns

ZONES: Final = range(1, 1 << 16)
"""0 is what everybody else on the host uses."""
PORT: Final = "port"
TENANT: Final = "tenant"
POLICY: Final = "policy"
"""Of a port under policy."""
DRAINING: Final = "draining"
"""Of a port that was until just now. Until Open vSwitch has looked at its cached flows it may look up in the
zone what the port sends and gets (docs/decisions/0058), and nobody else has it."""
_JUDGING: Final = frozenset({Part.POLICY, Part.TENANT, Part.NETWORK})
"""What may put ports under policy that did not change themselves."""

Pinned = Map[PortKey, Map[Uid, None]]
"""The floating IPs of each port, as they were before."""


def allot(old: Snapshot, new: Snapshot, changes: Iterable[Change], pinned: Pinned) -> state.Step:
    """`new` with zones for what the changes let live here, and without those of what went."""
    changed = tuple(changes)
    keys = sorted({*_touched(old, new, changed), *((POLICY, key) for key in _governed(old, new, changed))})
    rules = seated.asking(seated.rulings(new)) if any(kind == POLICY for kind, _ in keys) else ()
    named = {Uid(c.key) for c in changed if c.part is Part.FLOATING and isinstance(c.key, str)}
    wanted = {
        key: _judged(new, PortKey(key[1]), rules) if key[0] == POLICY else _wanted(new, key, named, pinned)
        for key in keys
    }
    gone = [(Part.ZONE, key) for key in keys if key in new.zones and not wanted[key]]
    made, taken = list[state.Item](), set(new.zones.values())
    for key in keys:
        kind, owner = key
        left = (DRAINING, owner)
        if kind == POLICY and left in new.zones and (wanted[key] or not _here(new, owner)):
            gone.append((Part.ZONE, left))
        if wanted[key] and key not in new.zones:
            drained = new.zones.get(left) if kind == POLICY else None
            zone = drained or next(number for number in ZONES if number not in taken)
            taken.add(zone)
            made.append((Part.ZONE, key, zone))
        elif kind == POLICY and key in new.zones and not wanted[key] and _here(new, owner):
            made.append((Part.ZONE, left, new.zones[key]))
    return state.join(state.remove(new, gone), lambda snapshot: state.upsert(snapshot, made))


def drained(snapshot: Snapshot) -> state.Step:
    """Without the zones in which nothing is looked up any more: the data path goes by the flows of now."""
    return state.remove(snapshot, [(Part.ZONE, key) for key in snapshot.zones if key[0] == DRAINING])


def _touched(old: Snapshot, new: Snapshot, changes: tuple[Change, ...]) -> set[ZoneKey]:
    near = binder.near(changes)
    ports = binder.touched(new, near) | binder.touched(old, near)
    found: set[ZoneKey] = {(kind, key) for key in ports for kind in (PORT, POLICY)}
    for change in changes:
        if change.part is Part.TENANT and isinstance(change.key, int):
            found.add((TENANT, change.key))
        if change.part is Part.FLOATING and isinstance(change.key, str):
            both = (snapshot.floating.get(Uid(change.key)) for snapshot in (old, new))
            found.update((PORT, one.port) for one in both if one is not None and one.port)
    return found


def _governed(old: Snapshot, new: Snapshot, changes: tuple[Change, ...]) -> Iterator[PortKey]:
    """The ports of this host that a change of others may have put under policy, or out of it."""
    keys = {part: {change.key for change in changes if change.part is part} for part in _JUDGING}
    if not any(keys.values()):
        return
    policies = sorted(Uid(str(key)) for key in keys[Part.POLICY])
    rules = seated.asking(
        rule for uid in policies for each in (old, new) for rule in seated.of_policy(each, uid)
    )
    for uid in sorted(new.interfaces):
        key = new.by_uid.get(uid)
        one = None if key is None else seated.endpoint(new, key)
        if key is None or one is None:
            continue
        network = new.ports[key].network
        changed = network in keys[Part.NETWORK] or new.networks[network].tenant in keys[Part.TENANT]
        if changed or any(concerns(entry, one) for entry in rules):
            yield key


def _judged(snapshot: Snapshot, key: PortKey, rules: tuple[Entry, ...]) -> bool:
    """As `seated.under`, with the rules at hand."""
    one = seated.endpoint(snapshot, key) if binder.lives_here(snapshot, key) else None
    return one is not None and any(concerns(entry, one) for entry in rules)


def _here(snapshot: Snapshot, owner: int) -> bool:
    return binder.lives_here(snapshot, PortKey(owner))


def _wanted(snapshot: Snapshot, key: ZoneKey, named: set[Uid], pinned: Pinned) -> bool:
    kind, owner = key
    if kind == TENANT:
        tenant = snapshot.tenants.get(TenantKey(owner))
        return tenant is not None and tenant.egress is Egress.SNAT and snapshot.host in tenant.gateways
    known = (snapshot.floating.get(uid) for uid in {*pinned.get(PortKey(owner), Map()), *named})
    floats = any(one is not None and one.port == owner for one in known)
    return floats and _here(snapshot, owner)


def limits(snapshot: Snapshot, shares: Shares) -> dict[int, int]:
    """The connections that each zone may have: of ports a part of their tenant's share, those under policy
    of one of their own; of tenants all of it."""
    used = _used(snapshot)
    owners = {key: (key[0], _tenant(snapshot, key)) for key in used}
    sharing = Counter(owners.values())
    return {
        zone: shares.tenant if key[0] == TENANT else max(shares.port, shares.tenant // sharing[owners[key]])
        for key, zone in sorted(used.items())
    }


def _used(snapshot: Snapshot) -> dict[ZoneKey, int]:
    """Without those in which nothing is remembered any more."""
    return {key: zone for key, zone in snapshot.zones.items() if key[0] != DRAINING}


def _tenant(snapshot: Snapshot, key: ZoneKey) -> int:
    kind, owner = key
    if kind == TENANT:
        return owner
    port = snapshot.ports.get(PortKey(owner))
    network = None if port is None else snapshot.networks.get(port.network)
    return 0 if network is None else network.tenant


def prepare(old: Snapshot, new: Snapshot, shares: Shares) -> tuple[commands.Zones, ...]:
    """Before the flows: what was given out anew is empty, and bounded as all others are."""
    if old.zones is new.zones:
        return ()
    before, after = limits(old, shares), limits(new, shares)
    fresh = tuple(sorted(zone for key, zone in _used(new).items() if old.zones.get(key) != zone))
    bounds = tuple((z, n) for z, n in after.items() if before.get(z) != n or z in fresh)
    return (commands.Zones(fresh, bounds),) if fresh or bounds else ()


def retire(old: Snapshot, new: Snapshot) -> tuple[commands.Zones, ...]:
    """Behind the flows: nothing is left of what was given back."""
    if old.zones is new.zones:
        return ()
    gone = tuple(sorted({*_used(old).values()} - {*_used(new).values()}))
    return (commands.Zones(gone, tuple((zone, 0) for zone in gone)),) if gone else ()


def restore(snapshot: Snapshot, shares: Shares) -> tuple[commands.Zones, ...]:
    """A switch that came back knows no limits; one that stayed knows those of the agent's last life."""
    bounds = tuple(limits(snapshot, shares).items())
    return (commands.Zones((), bounds),) if bounds else ()
