"""Look: one audit: store, hosts and fabrics three ways, VF by VF, and tenants against each other.

Place: asked by the API; `orphans` compares looks that follow each other. Pure. Must not conclude
anything from what was not said, and must not mend anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ipam.audit import agreement, fabrics, hosts
from ipam.audit.agreement import Tag
from ipam.audit.claims import Berthing, berthings, gangs, keepers
from ipam.audit.findings import Audit, Finding, Hold, Row, Rule, Side
from ipam.audit.heard import FABRIC_STALE_MS, HOST_STALE_MS, Heard, Told, fresh
from ipam.audit.hosts import Ours, title
from ipam.contents import Contents
from ipam.pools import MAC
from model.bearing import FabricWord
from model.fabric import Fabric, FabricKind
from model.gang import Gang, GangState

STUCK_MS: Final = 600_000
"""Each step has a patience of two minutes; what takes five times that waits for a person."""
_MOVING: Final = frozenset(
    {GangState.RESERVED, GangState.PROGRAMMED, GangState.VERIFIED, GangState.RELEASING, GangState.FAILED}
)


@dataclass(frozen=True, slots=True)
class _Scene:
    """What judging needs of everything."""

    contents: Contents
    heard: Heard
    ours: Ours
    now: int


def audit(contents: Contents, heard: Heard, now: int) -> Audit:
    """Of everything; `now`: Unix ms."""
    shapes = [r.value for _, r in sorted(contents.fabrics.items()) if r.value.kind is not FabricKind.ETHERNET]
    held = [(gang, until) for shape in shapes for gang, until in gangs(contents, shape.name)]
    scene = _Scene(contents, heard, _ours(contents, held), now)
    rows = [row for shape in shapes for row in _rows(scene, shape)]
    tags = (
        Tag(row.gang.request.tenant, row.fabric, row.seen.vlan, f"VF {row.node}/{row.pf}/{row.vf}")
        for row in rows
        if row.gang is not None and row.seen is not None and row.seen.vlan and row.hold is Hold.HELD
    )
    left_out = [(gang, 0) for gang in contents.unheld]
    agreed = agreement.agree(contents, [*held, *left_out], tags)
    found = [finding for row in rows for finding in row.findings]
    found += [*_of_gangs(scene, held), *_of_hosts(scene, held), *_of_fabrics(scene, shapes, held)]
    found += [_left_out(gang) for gang in contents.unheld]
    found += agreed.clashes
    ordered = sorted(found, key=lambda each: (each.rule.value, each.object, each.message))
    return Audit(tuple(rows), tuple(ordered), agreed, _looked(heard, now))


def _ours(contents: Contents, held: Iterable[tuple[Gang, int]]) -> Ours:
    pool = contents.pools.get(MAC)
    macs = range(0) if pool is None else range(pool.first, pool.last + 1)
    mine = {i.mac for gang, until in held if not until for berth in gang.berths for i in berth.interfaces}
    return Ours(macs, frozenset(mine - {0}))


def _rows(scene: _Scene, fabric: Fabric) -> Iterator[Row]:
    """VFs by node, PF and number, then ports that are no VFs."""
    owners = keepers(scene.contents, fabric.name)
    word = fresh(scene.heard.fabrics.get(fabric.name), scene.now, FABRIC_STALE_MS)
    infiniband = fabric.kind is FabricKind.INFINIBAND
    known: dict[int, object] = {}
    for one in berthings(scene.contents, fabric):
        known[one.port_guid] = one
        sight, seen = hosts.sight(one, scene.heard, scene.now)
        asked, table = fabrics.ask(one.port_guid, scene.heard, fabric.name, scene.now)
        found = list(_undeclared(one))
        if sight is Side.TOLD:
            found += hosts.judge_vf(one, seen, fabric, scene.ours, scene.now)
        if infiniband and word is not None:
            found += fabrics.judge_port(one, table, fabric, owners, read(word))
        claim = one.claim
        yield Row(
            fabric.name,
            one.node,
            one.host,
            one.rail,
            one.pf,
            one.vf,
            one.port_guid,
            Hold.FREE if claim is None else claim.hold,
            None if claim is None else claim.gang,
            None if claim is None else claim.interface,
            0 if claim is None else claim.until,
            sight,
            seen,
            asked,
            table,
            tuple(found),
        )
    if infiniband and word is not None:
        for guid, table, others in fabrics.judge_others(fabric, word.value, known, owners):
            row = Row(fabric.name, "", "", "", "", -1, guid, Hold.FREE)
            yield replace(row, asked=Side.TOLD, table=table, findings=others)


def _undeclared(one: Berthing) -> Iterator[Finding]:
    if one.claim is not None and not one.declared and not one.claim.until:
        message = f"{title(one.claim.gang)} has it, and no Node and Sku say that there is one"
        remedy = "Declare it again, or release the gang."
        yield Finding(Rule.SLOT_UNDECLARED, f"VF {one.node}/{one.pf}/{one.vf}", message, remedy)


def _of_gangs(scene: _Scene, held: Iterable[tuple[Gang, int]]) -> Iterator[Finding]:
    """Each by itself, and what its hosts say of it."""
    for gang, until in held:
        if until:
            continue
        age = scene.now - gang.since
        if gang.since and gang.progress.state in _MOVING and age > STUCK_MS:
            yield _stuck(scene, gang, age)
        for berth in gang.berths:
            word = fresh(scene.heard.words.get(berth.host), scene.now, HOST_STALE_MS)
            if word is not None and berth.node not in gang.vouched:
                yield from hosts.judge_gang(gang, word.value, berth.node, berth.host)


def _stuck(scene: _Scene, gang: Gang, age: int) -> Finding:
    word = scene.heard.fabrics.get(gang.request.fabric)
    waits = () if word is None else word.value.waits
    why = next((each.why for each in waits if each.generation == gang.generation), gang.why)
    message = f"it is {gang.progress.state.value} for {age // 1000} s" + (f": {why}" if why else "")
    remedy = f"ringfence gang get {gang.request.name} --tenant {gang.request.tenant}; a node that is dead for"
    remedy += " good: ringfence gang release ... --without NODE"
    return Finding(Rule.STUCK, title(gang), message, remedy)


def _left_out(gang: Gang) -> Finding:
    message = f"its row (generation {gang.generation}) claims what another gang has, and nobody serves it"
    remedy = "Somebody wrote into the store by hand: delete that row of table Gang."
    return Finding(Rule.LEFT_OUT, title(gang), message, remedy)


def _of_hosts(scene: _Scene, held: Iterable[tuple[Gang, int]]) -> Iterator[Finding]:
    """Hosts that are silent though they bear gangs, or bear what nobody knows."""
    needs: dict[str, list[str]] = defaultdict(list)
    known: set[int] = set()
    for gang, until in held:
        # What was released a moment ago may not be forgotten yet.
        if not until or scene.now - gang.since <= HOST_STALE_MS:
            known.add(gang.generation)
        for berth in gang.berths:
            if not until and berth.node not in gang.vouched:
                needs[berth.host].append(title(gang))
    for host in sorted(needs):
        found = hosts.silent(host, needs[host], scene.heard, scene.now)
        if found is not None:
            yield found
    newest = 0 if scene.contents.cluster is None else scene.contents.cluster.generation
    for host, told in sorted(scene.heard.words.items()):
        if fresh(told, scene.now, HOST_STALE_MS) is not None:
            yield from hosts.strangers(host, told, known, newest)


def _of_fabrics(
    scene: _Scene, shapes: Iterable[Fabric], held: Iterable[tuple[Gang, int]]
) -> Iterator[Finding]:
    borne: dict[str, int] = defaultdict(int)
    for gang, until in held:
        borne[gang.request.fabric] += not until
    for shape in shapes:
        found = fabrics.silent(shape, borne[shape.name], scene.heard, scene.now)
        if found is not None:
            yield found
        word = fresh(scene.heard.fabrics.get(shape.name), scene.now, FABRIC_STALE_MS)
        if word is not None:
            yield from fabrics.alarms(shape, word.value)


def read(word: Told[FabricWord]) -> int:
    """When its tables were read (Unix ms)."""
    return word.value.read or word.stamp


def _looked(heard: Heard, now: int) -> dict[str, int]:
    """Who was heard, and when he spoke."""
    said = {
        f"host {name}": told.stamp
        for name, told in sorted(heard.sightings.items())
        if fresh(told, now, HOST_STALE_MS) is not None
    }
    for name, word in sorted(heard.fabrics.items()):
        if fresh(word, now, FABRIC_STALE_MS) is not None:
            said[f"fabric {name}"] = read(word)
    return said
