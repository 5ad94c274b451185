"""Taking back what nobody bears: only after several looks at which its side had something new to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipam.audit.findings import Audit, Hold, Orphan
from ipam.audit.heard import Heard, Told
from ipam.audit.orphans import (
    APART_MEMBERSHIP_MS,
    APART_VF_MS,
    FORGET_MS,
    Trail,
    adopt,
    follow,
    hindrance,
    ripe,
)
from ipam.devices.desired import Setting, Stay, VfDriver, desired
from ipam.fabric.course import Stand, judge, plan
from ipam.fabric.opensm import Verdict
from model.fabric import DEFAULT_PKEY, FabricKind, Guid
from model.gang import Event, GangState, due
from tests.fakes.audited import World, world

KEY = 0x8000


def stray(made: World, entries: tuple[int, ...], vf: int = 2) -> Heard:
    """Port of VF `vf` of n4's first PF, which nobody has, with these entries."""
    heard = made.heard()
    told = heard.fabrics["ib"]
    tables = {**told.value.tables, made.place(4, 0, vf)[1]: entries}
    return replace(heard, fabrics={"ib": replace(told, value=replace(told.value, tables=tables))})


def used(made: World) -> Heard:
    """A VF of n4 that nobody has is a VM's."""
    heard = made.heard()
    told = heard.sightings["hv4"]
    first, *rest = told.value.pfs
    first = replace(first, vfs=(*first.vfs[:2], replace(first.vfs[2], driver="vfio-pci")))
    seen = replace(told.value, pfs=(first, *rest))
    return replace(heard, sightings={**heard.sightings, "hv4": replace(told, value=seen)})


def busy() -> World:
    made = world()
    made.add("acme", "train", GangState.ACTIVE, nodes=("n1", "n2"), count=0)
    return made


def orphan(found: Audit) -> Orphan:
    (only,) = {each.orphan for each in found.findings if each.orphan is not None}
    return only


def later(made: World, heard: Heard, ms: int) -> Heard:
    """Everybody said the same again, so much later; the world's time goes on."""
    made.now += ms

    def again(all_: dict) -> dict:  # type: ignore[type-arg]
        return {name: Told(told.value, told.stamp + ms) for name, told in all_.items()}

    return Heard(again(heard.sightings), again(heard.words), again(heard.fabrics))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "apart"),
    [
        (lambda w: stray(w, (0x8ABC, DEFAULT_PKEY)), APART_MEMBERSHIP_MS),
        (used, APART_VF_MS),
    ],
)
def test_three_looks_apart_make_it_ripe(shown, apart: int) -> None:
    made = busy()
    heard, trails = shown(made), {}
    counts = []
    for _ in range(3):
        found = made.audit(heard)
        trails = follow(trails, found, made.now)
        counts.append(ripe(trails[orphan(found)]))
        # Looking again at once, or at the same words later, adds nothing.
        assert follow(trails, found, made.now) == trails
        assert follow(trails, found, made.now + apart) == trails
        # Nor does a word that is new, too soon.
        soon = later(made, heard, apart - 1)
        assert follow(trails, made.audit(soon), made.now) == trails
        heard = later(made, soon, 1)
    assert counts == [False, False, True]


def test_what_is_seen_gone_once_begins_anew_and_silence_is_no_look() -> None:
    made = busy()
    heard = stray(made, (0x8ABC, DEFAULT_PKEY))
    found = made.audit(heard)
    trails = follow({}, found, made.now)
    one = orphan(found)
    assert trails == {one: Trail(1, made.now, heard.fabrics["ib"].stamp)}
    mute = replace(heard, fabrics={})
    assert follow(trails, made.audit(mute), made.now) == trails
    assert follow(trails, made.audit(mute), made.now + FORGET_MS + 1) == {}
    clean = later(made, made.heard(), 0)
    assert follow(trails, made.audit(clean), made.now) == {}


def test_a_membership_becomes_a_gang_of_its_keys_tenant_that_is_being_undone() -> None:
    made = busy()
    train = made.gangs[0]
    found = made.audit(stray(made, (train.pkey | KEY, DEFAULT_PKEY)))
    one, contents = orphan(found), made.contents()
    assert hindrance(contents, one) is None
    gang, covered = adopt(contents, {one}, 1_001, made.now)
    assert covered == {one}
    assert (gang.request.tenant, gang.pkey, gang.block) == ("acme", train.pkey, train.block)
    assert gang.progress.state is GangState.RELEASING
    # The slot is nobody else's from now on, and nothing of acme's other gang is touched.
    contents.ledger.copy().hold(gang)
    made.gangs.append(gang)
    after = made.audit(stray(made, (train.pkey | KEY, DEFAULT_PKEY)))
    assert [each.rule.value for each in after.findings] == []
    assert [row.hold for row in after.rows if row.node == "n4" and row.hold is not Hold.FREE] == [Hold.GOING]
    # Its fabric's process waits until the port was seen without the key, and asks it.
    course = plan(made.gangs, made.fabric, ())
    port = made.place(4, 0, 2)[1]
    assert port in course.ask
    assert not any(port in each.full for each in course.wanted.tenants)

    def stand(entries: tuple[int, ...]) -> Stand:
        tables: dict[Guid, tuple[int, ...] | None] = {port: entries}
        accounts = judge(course, Verdict((), (), (), tables, ()))
        return next(each.stand for each in accounts if each.gang is gang)

    assert stand((train.pkey | KEY, DEFAULT_PKEY, 0)) is Stand.LEAVING
    assert stand((DEFAULT_PKEY, 0)) is Stand.GONE
    # And its agent parks the VF.
    (pf,) = desired(made.kind, [Stay(gang.berths[0], gang.progress)])
    assert (pf.vfs[0].index, pf.vfs[0].driver, pf.vfs[0].settings[Setting.LINK]) == (2, VfDriver.NONE, 2)
    assert due(gang.progress, Event.CLEAR)


def test_a_key_of_nobody_and_a_vf_without_one() -> None:
    made = busy()
    one = orphan(made.audit(stray(made, (0x8ABC, DEFAULT_PKEY))))
    two = orphan(made.audit(used(made)))
    other = replace(one, pf="mlx1", vf=1, guid=made.place(4, 1, 1)[1])
    contents = made.contents()
    left, gangs, generation = {one, two, other}, [], 1_001
    while left:
        gang, covered = adopt(contents, left, generation, made.now)
        contents.ledger.hold(gang)
        gangs.append((gang.request.tenant, gang.pkey, gang.size))
        left, generation = left - covered, generation + 1
    # The VM's VF is the one with the membership: it comes once.
    assert gangs == [("-0abc", 0x0ABC, 2)]
    made = busy()
    alone, _ = adopt(made.contents(), {two}, 1_001, made.now)
    assert (alone.request.tenant, alone.pkey, alone.berths[0].interfaces[0].port_guid) == ("-", 0, 0)
    made.contents().ledger.hold(alone)


def test_what_can_not_be_taken_back_says_why() -> None:
    made = busy()
    one = orphan(made.audit(stray(made, (0x8ABC, DEFAULT_PKEY))))
    rule = lambda each, contents=None: getattr(hindrance(contents or made.contents(), each), "rule", None)  # noqa: E731
    assert rule(replace(one, node="", vf=-1)) == "orphan-homeless"
    assert rule(replace(one, vf=200)) == "orphan-homeless"
    assert rule(replace(one, node="n1", vf=0)) == "orphan-held"
    made.cool(made.gangs[0])
    assert rule(replace(one, node="n1", vf=0)) == "orphan-held"
    assert rule(replace(one, pkey=made.cooling[0][0].pkey)) == "orphan-key"
    assert rule(one) is None


def test_roce_too() -> None:
    made = world(FabricKind.ROCE)
    made.add("acme", "train", GangState.ACTIVE, nodes=("n1",), count=0)
    one = orphan(made.audit(used(made)))
    gang, _ = adopt(made.contents(), {one}, 1_001, made.now)
    made.contents().ledger.hold(gang)
    assert (gang.pkey, gang.request.fabric, gang.berths[0].host) == (0, "roce", "hv4")


def test_a_word_that_is_said_again_is_no_new_look_at_the_ports() -> None:
    made = busy()
    heard = stray(made, (0x8ABC, DEFAULT_PKEY))
    told = heard.fabrics["ib"]
    old = replace(told.value, read=told.stamp)
    trails = follow({}, made.audit(replace(heard, fabrics={"ib": Told(old, told.stamp)})), made.now)
    made.now += APART_MEMBERSHIP_MS
    again = made.audit(replace(heard, fabrics={"ib": Told(old, told.stamp + APART_MEMBERSHIP_MS)}))
    assert follow(trails, again, made.now) == trails
