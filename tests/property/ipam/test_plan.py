"""Planning on random histories: never twice the same number, whatever the order, all or nothing."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.contents import Contents, refer
from ipam.deletion import plan_deletion
from ipam.draft import Draft
from ipam.plan import plan
from ipam.pools import defaults
from ipam.steps import Plan, Verb
from ipam.trial import COOL_DOWN_MS
from model.errors import RingfenceError
from model.ids import Uid, Vni
from model.intent import Cluster
from model.wanted import Kind, Reference, Wanted, WantedNetwork, WantedPort, WantedTenant

TENANTS = ("a", "b")
NAMES = tuple(f"p{i}" for i in range(12))
SUBNETS = (ip_network("10.0.0.0/28"), ip_network("fd00::/124"))
WRITTEN = st.one_of(
    st.none(),
    st.lists(st.integers(0, 17), max_size=2).map(lambda o: tuple(ip_address("10.0.0.0") + i for i in o)),
)
PORTS = st.builds(
    WantedPort,
    tenant=st.sampled_from(TENANTS),
    name=st.sampled_from(NAMES),
    network=st.just("n"),
    mac=st.one_of(st.none(), st.integers((0x02_00_01 << 24) + 1, (0x02_00_01 << 24) + 9)),
    addresses=WRITTEN,
)
NETWORKS = st.builds(
    WantedNetwork,
    tenant=st.sampled_from(TENANTS),
    name=st.sampled_from(["m", "o"]),
    subnets=st.just(SUBNETS),
    vni=st.one_of(st.none(), st.sampled_from([Vni(10_000), Vni(10_003), Vni(9)])),
)
REFERENCES = st.builds(
    Reference, st.just(Kind.PORT), st.sampled_from(NAMES), st.sampled_from(TENANTS)
) | st.builds(Reference, st.just(Kind.NETWORK), st.sampled_from(["m", "n", "o"]), st.sampled_from(TENANTS))
ACTIONS = st.lists(
    st.one_of(
        st.lists(st.one_of(PORTS, NETWORKS), min_size=1, max_size=8).map(lambda w: ("apply", w)),
        st.lists(REFERENCES, min_size=1, max_size=5).map(lambda r: ("delete", r)),
        st.sampled_from([0, 1, COOL_DOWN_MS]).map(lambda t: ("wait", t)),
    ),
    max_size=10,
)


def uids():
    numbers = count(1)
    return lambda: Uid(f"uid-{next(numbers)}")


def fresh() -> Contents:
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("c"), 1, 65000))
    for pool in defaults(site=1):
        draft.put_pool(pool)
    contents = draft.contents()
    wanted: list[Wanted] = [WantedTenant(t) for t in TENANTS]
    wanted += [WantedNetwork(t, "n", SUBNETS) for t in TENANTS]
    return commit(contents, plan(contents, wanted, 0, uids()))


def commit(contents: Contents, made: Plan) -> Contents:
    draft = Draft(contents)
    for claim, until in contents.tombstones.items():
        if until <= made.now:
            draft.unbury(claim)
    for step in made.steps:
        if step.verb is Verb.DELETE:
            draft.remove(step.reference)
        elif step.after is not None:
            draft.put(step.after)
    for stone in made.tombstones:
        draft.bury((stone.scope, stone.value), stone.until)
    return draft.contents()


def rebuilt(contents: Contents) -> Contents:
    """The same rows read anew, as after a restart."""
    draft = Draft(Contents())
    draft.set_cluster(contents.cluster)
    for pool in contents.pools.values():
        draft.put_pool(pool)
    for claim, until in contents.tombstones.items():
        draft.bury(claim, until)
    for group in (contents.tenants, contents.networks, contents.ports):
        for record in group.values():
            draft.put(record)
    return draft.contents()


def play(actions) -> list[tuple[int, Contents]]:
    contents, now, new_uid, states = fresh(), 1000, uids(), []
    for verb, what in actions:
        if verb == "wait":
            now += what
            continue
        try:
            if verb == "apply":
                made = plan(contents, what, now, new_uid)
            else:
                made = plan_deletion(contents, what, now)
        except RingfenceError as error:
            assert error.faults
            continue
        contents = commit(contents, made)
        states.append((now, contents))
    return states


def check_unique(contents: Contents) -> None:
    ports = [r.value for r in contents.ports.values()]
    networks = [r.value for r in contents.networks.values()]
    for values in (
        [p.key for p in ports],
        [p.mac for p in ports],
        [(p.network, a) for p in ports for a in p.addresses],
        [n.key for n in networks],
        [n.vni for n in networks] + [r.value.l3vni for r in contents.tenants.values()],
    ):
        assert len(values) == len(set(values))


@given(ACTIONS)
@settings(max_examples=150, deadline=None)
def test_no_number_is_ever_held_twice(actions) -> None:
    for _, contents in play(actions):
        check_unique(contents)


@given(ACTIONS)
@settings(max_examples=100, deadline=None)
def test_what_is_kept_step_by_step_equals_what_is_read_anew(actions) -> None:
    states = play(actions)
    if not states:
        return
    _, contents = states[-1]
    again = rebuilt(contents)
    for name in ("owners", "members", "networks_of", "uses", "ports", "networks"):
        assert getattr(contents, name) == getattr(again, name), name
    for scope in set(contents.taken) | set(again.taken):
        # A claim's bit is right even if a scope's bitmap was never made in one of the two.
        for claim in (c for c in {*contents.owners, *contents.tombstones} if c[0] == scope):
            pool = Draft(contents).pool(scope)
            if pool is not None and pool.first <= claim[1] <= pool.last:
                assert claim[1] - pool.first in contents.taken[scope]
                assert claim[1] - pool.first in again.taken[scope]
        used = [0 if scope not in c.taken else c.taken[scope].used for c in (contents, again)]
        assert used[0] == used[1], scope


@given(ACTIONS, st.lists(st.one_of(PORTS, NETWORKS), min_size=2, max_size=8), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_a_manifest_never_matters(actions, wanted, random) -> None:
    states = play(actions)
    now, contents = states[-1] if states else (0, fresh())
    names = {(type(w), w.tenant, w.name): w for w in wanted}
    ordered, shuffled = list(names.values()), list(names.values())
    random.shuffle(shuffled)
    assert outcome(contents, ordered, now) == outcome(contents, shuffled, now)


def outcome(contents: Contents, wanted, now: int):
    try:
        return plan(contents, wanted, now, uids())
    except RingfenceError as error:
        return type(error), sorted((f.object, f.rule, f.path, f.message) for f in error.faults)


@given(ACTIONS, st.lists(PORTS, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_planning_leaves_the_contents_as_they_were(actions, wanted) -> None:
    states = play(actions)
    now, contents = states[-1] if states else (0, fresh())
    used = {scope: bitmap.used for scope, bitmap in contents.taken.items()}
    first = outcome(contents, wanted, now)
    assert outcome(contents, wanted, now) == first
    assert {scope: bitmap.used for scope, bitmap in contents.taken.items()} == used


@given(st.integers(1, 14), st.data())
@settings(max_examples=50, deadline=None)
def test_released_numbers_come_back_after_cooling_and_not_before(number: int, data) -> None:
    contents, new_uid = fresh(), uids()
    wanted = [WantedPort("a", f"p{i:02}", "n", addresses=None) for i in range(min(number, 13))]
    contents = commit(contents, plan(contents, wanted, 0, new_uid))
    gone = data.draw(st.sampled_from([refer(r) for r in contents.ports.values()]))
    old = contents.ports[gone.tenant, gone.name].value
    contents = commit(contents, plan_deletion(contents, [gone], 0))
    try:
        soon = commit(contents, plan(contents, [WantedPort("a", "new", "n")], COOL_DOWN_MS - 1, new_uid))
        assert not set(soon.ports["a", "new"].value.addresses) & set(old.addresses)
        assert soon.ports["a", "new"].value.mac != old.mac
    except RingfenceError as error:
        assert {f.rule for f in error.faults} == {"pool-exhausted"}
    later = commit(contents, plan(contents, [WantedPort("a", "new", "n")], COOL_DOWN_MS, new_uid))
    assert later.ports["a", "new"].value.addresses == old.addresses
    assert later.ports["a", "new"].value.mac == old.mac
