"""However hosts fight for a MAC: it moves seldom; without a fight the order of what they say is nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bgp import learn
from bgp.codec.update import Update
from bgp.table import Limits
from model.snapshot import with_port
from tests.unit.bgp.world import RED, ROAMING, key, mac, mac_route, port, world

HOSTS = ("h2", "h3", "ext")
SPOT = (RED, mac(ROAMING))
EVENT = st.tuples(
    st.sampled_from(HOSTS),
    st.sampled_from(("announce", "announce", "withdraw", "tick")),
    st.integers(0, 40),
    st.sampled_from((0.0, 0.5, 7.0, 40.0, 200.0)),
)
LIMITS = st.builds(
    Limits, moves=st.integers(1, 6), window=st.sampled_from((30.0, 180.0)), hold=st.just(180.0)
)


def start(limits):
    snapshot = with_port(world(), port(ROAMING, RED, HOSTS))
    return learn.peer_up(learn.start(snapshot, limits), "rr", 0.0)[0]


def said(host, kind, sequence):
    route = mac_route(host, ROAMING, sequence=sequence)
    return Update(announced=((key(route), route),)) if kind == "announce" else Update(withdrawn=(key(route),))


@given(LIMITS, st.lists(EVENT, max_size=60))
def test_it_never_moves_more_often_than_it_may(limits, events):
    table, now, last = start(limits), 0.0, None
    moved: list[float] = []
    for host, kind, sequence, step in events:
        now += step
        if kind == "tick":
            table, _ = learn.tick(table, now)
        else:
            table, _ = learn.receive(table, "rr", said(host, kind, sequence), now)
        found = table.remotes.get(SPOT)
        if found is not None:
            if last is not None and found.vtep != last:
                moved.append(now)
            last = found.vtep
        assert sum(now - at < limits.window for at in moved) < limits.moves


@given(st.lists(EVENT, max_size=60))
def test_what_is_in_use_is_always_claimed_or_damped(events):
    table, now = start(Limits()), 0.0
    for host, kind, sequence, step in events:
        now += step
        if kind == "tick":
            table, _ = learn.tick(table, now)
        else:
            table, _ = learn.receive(table, "rr", said(host, kind, sequence), now)
        claims = [live.claim for live in table.live.values()]
        if table.damped:
            (damped,) = table.damped.values()
            assert table.remotes[SPOT] == damped.place
        elif claims:
            best = max(claims, key=lambda one: (one.sequence, -int(one.vtep)))
            assert table.remotes[SPOT].vtep == best.vtep
        else:
            assert SPOT not in table.remotes


@given(st.permutations(HOSTS), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_the_order_of_a_replay_is_nothing(order, sequences):
    of = dict(zip(HOSTS, sequences, strict=True))
    tables = []
    for hosts in (HOSTS, order):
        table = start(Limits())
        for host in hosts:
            table, _ = learn.receive(table, "rr", said(host, "announce", of[host]), 0.0)
        tables.append(table)
    assert tables[0] == tables[1]


@given(LIMITS, st.lists(EVENT, max_size=40))
def test_nothing_is_remembered_of_what_was_long_ago(limits, events):
    table, now = start(limits), 0.0
    for host, kind, sequence, step in events:
        now += step
        if kind != "tick":
            table, _ = learn.receive(table, "rr", said(host, kind, sequence), now)
    for host in HOSTS:
        table, _ = learn.receive(table, "rr", said(host, "withdraw", 0), now)
    for later in (1.0, 200.0, 400.0):
        table, _ = learn.tick(table, now + later)
    assert (len(table.damped), len(table.trails), len(table.remotes)) == (0, 0, 0)
