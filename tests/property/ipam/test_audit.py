"""A world in which all sides agree has a clean audit; what is changed in one place is named by its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.audit.findings import Audit, Rule
from ipam.audit.heard import Heard, Told
from model.bearing import HostPart, Reached
from model.errors import Fault
from model.fabric import DEFAULT_PKEY, FULL_MEMBER, FabricKind, Guid, RailIndex
from model.gang import Berth, Gang, GangState, Interface, Membership
from model.ids import HostName, Mac
from model.sighting import SeenVf
from tests.fakes.audited import STATES, World, world

Victim = tuple[Gang, Berth, Interface]


@st.composite
def worlds(draw: st.DrawFn, kind: FabricKind = FabricKind.INFINIBAND) -> tuple[World, Victim]:
    """Gangs of a few tenants in any state, one of them active for sure: the interface that is changed."""
    made = world(kind)
    nodes = draw(st.permutations(["n1", "n2", "n3", "n4"]))
    first = made.add("acme", "train", GangState.ACTIVE, nodes=(nodes[0], nodes[1]), count=0)
    for number in range(draw(st.integers(0, 3))):
        tenant = draw(st.sampled_from(["acme", "umbra", "initech"]))
        level = draw(st.sampled_from(Membership))
        state = draw(st.sampled_from(sorted(STATES, key=lambda each: each.value)))
        if (
            made.yard.ask(tenant=tenant, name=f"g{number}", membership=level).__class__.__name__
            != "Placement"
        ):
            continue
        gang = made.add(tenant, f"g{number}", state, membership=level)
        if draw(st.booleans()):
            made.cool(gang)
    berth = draw(st.sampled_from(first.berths))
    return made, (first, berth, draw(st.sampled_from(berth.interfaces)))


def rules(found: Audit) -> list[str]:
    return [each.rule.value for each in found.findings]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([FabricKind.INFINIBAND, FabricKind.ROCE]).flatmap(worlds))
def test_who_agrees_has_a_clean_audit(given_: tuple[World, Victim]) -> None:
    made, _ = given_
    found = made.audit()
    assert rules(found) == []
    assert len(found.rows) == 4 * 2 * 3
    # It judged something: every interface of a gang stands beside what its host sees.
    held = [row for row in found.rows if row.gang is not None]
    assert len(held) >= 4
    assert all(row.seen is not None for row in held)


def table(heard: Heard, made: World, guid: Guid, entries: tuple[int, ...] | None) -> Heard:
    told = heard.fabrics[made.fabric.name]
    word = replace(told.value, tables={**told.value.tables, guid: entries})
    return replace(heard, fabrics={made.fabric.name: replace(told, value=word)})


def vf(heard: Heard, victim: Victim, change: Callable[[SeenVf], SeenVf | None]) -> Heard:
    _, berth, i = victim
    told = heard.sightings[berth.host]
    place = 0x200 + int(i.pf.removeprefix("mlx"))
    pfs = []
    for pf in told.value.pfs:
        if pf.pci == place:
            changed = [change(each) if each.index == i.vf else each for each in pf.vfs]
            pf = replace(pf, vfs=tuple(each for each in changed if each is not None))
        pfs.append(pf)
    seen = replace(told.value, pfs=tuple(pfs))
    return replace(heard, sightings={**heard.sightings, berth.host: replace(told, value=seen)})


def part(heard: Heard, victim: Victim, change: Callable[[HostPart], HostPart | None]) -> Heard:
    gang, berth, _ = victim
    told = heard.words[berth.host]
    changed = [change(p) if p.generation == gang.generation else p for p in told.value.parts]
    word = replace(told.value, parts=tuple(p for p in changed if p is not None))
    return replace(heard, words={**heard.words, berth.host: replace(told, value=word)})


def own(victim: Victim) -> int:
    return victim[0].pkey | FULL_MEMBER


Perturb = Callable[[World, Victim], Heard]
TABLES: dict[Rule, tuple[Perturb, ...]] = {
    Rule.LACKING: (lambda w, v: table(w.heard(), w, v[2].port_guid, (DEFAULT_PKEY, 0)),),
    Rule.LEVEL: (lambda w, v: table(w.heard(), w, v[2].port_guid, (v[0].pkey, DEFAULT_PKEY)),),
    Rule.INDEX: (lambda w, v: table(w.heard(), w, v[2].port_guid, (DEFAULT_PKEY, own(v))),),
    Rule.DEFAULT: (lambda w, v: table(w.heard(), w, v[2].port_guid, (own(v), 0)),),
    Rule.OPEN: (lambda w, v: table(w.heard(), w, v[2].port_guid, (own(v), 0xFFFF)),),
    Rule.STRAY_MEMBERSHIP: (
        lambda w, v: table(w.heard(), w, v[2].port_guid, (own(v), DEFAULT_PKEY, 0xFABC & 0x7FFF)),
    ),
    Rule.PORT_UNSEEN: (lambda w, v: table(w.heard(), w, v[2].port_guid, None),),
    Rule.FABRIC_SILENT: (
        lambda w, v: replace(w.heard(), fabrics={}),
        lambda w, v: aged(w),
    ),
    Rule.FABRIC_ALARM: (lambda w, v: alarmed(w),),
    Rule.WRONG_GUID: (
        lambda w, v: vf(w.heard(), v, lambda s: replace(s, port_guid=s.port_guid + 1000)),
        lambda w, v: vf(w.heard(), v, lambda s: replace(s, node_guid=0x0002C90300000001)),
    ),
}
HOSTS: dict[Rule, tuple[Perturb, ...]] = {
    Rule.VF_MISSING: (lambda w, v: vf(w.heard(), v, lambda s: None),),
    Rule.DRIVER_LACKING: (lambda w, v: vf(w.heard(), v, lambda s: replace(s, driver="")),),
    Rule.DEVICES_LACKING: (
        lambda w, v: part(w.heard(), v, lambda p: None),
        lambda w, v: part(w.heard(), v, lambda p: replace(p, reached=Reached.SET)),
    ),
    Rule.HOST_FAULT: (
        lambda w, v: part(
            w.heard(), v, lambda p: replace(p, reached=Reached.NOTHING, faults=(Fault("PF", "x", "m", "r"),))
        ),
    ),
    Rule.ORPHAN_BEARING: (lambda w, v: strange(w, v),),
    Rule.HOST_SILENT: (lambda w, v: quiet(w, v, "sightings"),),
    Rule.BEARING_SILENT: (lambda w, v: quiet(w, v, "words"),),
    Rule.STUCK: (lambda w, v: stuck(w, v),),
}
MACS: dict[Rule, tuple[Perturb, ...]] = {
    Rule.WRONG_MAC: (lambda w, v: vf(w.heard(), v, lambda s: replace(s, mac=s.mac ^ 0x800000)),),
}


def aged(made: World) -> Heard:
    heard = made.heard()
    told = heard.fabrics[made.fabric.name]
    return replace(heard, fabrics={made.fabric.name: Told(told.value, made.now - 61_000)})


def alarmed(made: World) -> Heard:
    heard = made.heard()
    told = heard.fabrics[made.fabric.name]
    word = replace(told.value, alarms=(Fault("Fabric ib", "stranger", "another manager", "stop it"),))
    return replace(heard, fabrics={made.fabric.name: Told(word, told.stamp)})


def strange(made: World, victim: Victim) -> Heard:
    """The host bears a gang that is none of the store's."""
    heard = made.heard()
    host = victim[1].host
    told = heard.words[host]
    odd = HostPart(999, GangState.ACTIVE, GangState.ACTIVE, Reached.UP)
    word = replace(told.value, parts=(*told.value.parts, odd))
    return replace(heard, words={**heard.words, host: Told(word, told.stamp)})


def quiet(made: World, victim: Victim, what: str) -> Heard:
    """What a host says is as it was, and old."""
    heard = made.heard()
    host = victim[1].host
    told = getattr(heard, what)[host]
    return replace(heard, **{what: {**getattr(heard, what), host: Told(told.value, made.now - 15_001)}})


def stuck(made: World, victim: Victim) -> Heard:
    place = made.gangs.index(victim[0])
    made.gangs[place] = replace(
        victim[0],
        progress=replace(victim[0].progress, state=GangState.VERIFIED),
        since=made.now - 600_001,
    )
    return made.heard()


def free(made: World) -> Victim:
    """A VF that nobody has, as if a gang had it."""
    taken = {
        (b.node, i.pf, i.vf)
        for gang in (*made.gangs, *(gang for gang, _ in made.cooling))
        for b in gang.berths
        for i in b.interfaces
    }
    for number in range(1, 5):
        for place in range(2):
            for index in range(3):
                if (f"n{number}", f"mlx{place}", index) not in taken:
                    node_guid, port_guid = made.place(number, place, index)
                    i = Interface(0, f"mlx{place}", index, RailIndex(place), (), Mac(0), node_guid, port_guid)
                    berth = Berth(f"n{number}", HostName(f"hv{number}"), (), (i,))
                    return made.gangs[0], berth, i
    raise AssertionError("nothing is free")


def gone(made: World) -> Guid:
    """A port that a released gang had."""
    if not made.cooling:
        made.cool(made.add("vandal", "gone", GangState.ACTIVE))
    return made.cooling[-1][0].berths[0].interfaces[0].port_guid


FREE: dict[Rule, tuple[Perturb, ...]] = {
    Rule.ORPHAN_MEMBERSHIP: (
        lambda w, v: table(w.heard(), w, free(w)[2].port_guid, (own(v), DEFAULT_PKEY)),
        lambda w, v: table(w.heard(), w, free(w)[2].port_guid, (0x7ABC, DEFAULT_PKEY)),
        lambda w, v: table(w.heard(), w, Guid(w.fabric.guids[0].stop - 1), (0x0ABC, DEFAULT_PKEY)),
        lambda w, v: cooled(w),
    ),
    Rule.OPEN: (lambda w, v: table(w.heard(), w, free(w)[2].port_guid, (0xFFFF,)),),
    Rule.VF_IN_USE: (
        lambda w, v: vf(w.heard(), free(w), lambda s: replace(s, driver="mlx5_core")),
        lambda w, v: vf(w.heard(), free(w), lambda s: replace(s, driver="vfio-pci", port_guid=0)),
    ),
    Rule.WRONG_GUID: (lambda w, v: vf(w.heard(), free(w), lambda s: replace(s, port_guid=v[2].port_guid)),),
}
FREE_ROCE: dict[Rule, tuple[Perturb, ...]] = {
    Rule.VF_IN_USE: (
        lambda w, v: vf(
            w.heard(), free(w), lambda s: replace(s, driver="mlx5_core", mac=v[2].mac | 0x800000)
        ),
        lambda w, v: vf(w.heard(), free(w), lambda s: replace(s, driver="vfio-pci")),
    ),
    Rule.WRONG_MAC: (lambda w, v: vf(w.heard(), free(w), lambda s: replace(s, mac=v[2].mac)),),
}


def cooled(made: World) -> Heard:
    guid = gone(made)
    return table(made.heard(), made, guid, (made.cooling[-1][0].pkey, DEFAULT_PKEY))


CASES = [
    *((FabricKind.INFINIBAND, rule, each) for rule, found in FREE.items() for each in found),
    *((FabricKind.ROCE, rule, each) for rule, found in FREE_ROCE.items() for each in found),
    *((FabricKind.INFINIBAND, rule, each) for rule, found in (TABLES | HOSTS).items() for each in found),
    *((FabricKind.ROCE, rule, each) for rule, found in (HOSTS | MACS).items() for each in found),
]


@pytest.mark.parametrize(("kind", "rule", "perturb"), CASES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_what_is_changed_is_named_by_its_rule_alone(
    kind: FabricKind, rule: Rule, perturb: Perturb, data: st.DataObject
) -> None:
    made, victim = data.draw(worlds(kind))
    assert rules(made.audit()) == []
    assert rules(made.audit(perturb(made, victim))) == [rule.value]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_nothing_is_concluded_from_silence(given_: tuple[World, Victim], data: st.DataObject) -> None:
    """Whoever is silent is told once; no VF, port or orphan is judged for it."""
    made, _ = given_
    heard = made.heard()
    quiet_ones = data.draw(st.sets(st.sampled_from(sorted(heard.sightings))))
    mute = data.draw(st.booleans())
    heard = Heard(
        {n: Told(t.value, 0 if n in quiet_ones else t.stamp) for n, t in heard.sightings.items()},
        {n: t for n, t in heard.words.items() if n not in quiet_ones},
        {} if mute else heard.fabrics,
    )
    found = made.audit(heard)
    assert set(rules(found)) <= {"host-silent", "fabric-silent"}
    assert not any(row.findings for row in found.rows)
    assert len(rules(found)) <= len(quiet_ones) + 1
