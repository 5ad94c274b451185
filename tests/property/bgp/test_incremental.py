"""Incremental equals recompute: announcing, indexing, learning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bgp import learn
from bgp.codec import nlri
from bgp.codec.update import Update
from bgp.guard import FloodClaim, MacClaim, judge
from bgp.lookup import index, reindex
from bgp.originate import originate, reoriginate
from bgp.reaching import waiting
from bgp.rights import PrefixClaim
from bgp.segments import SegmentClaim, gather
from bgp.spoken import AddressClaim, select_address
from bgp.table import Limits, select, select_hops
from bgp.verdict import Refused
from model.ids import HostName
from tests.property.bgp.strategies import EDITS, EVENTS, HARD, PEERS, edited, start


@HARD
@given(EDITS, EDITS)
def test_reoriginate_equals_originate(first, second):
    old, _ = edited(start(), first)
    new, changes = edited(old, second)
    before = originate(old)
    now, announce, withdraw = reoriginate(before, old, new, changes)
    assert now == originate(new)
    table = dict(before.routes)
    for route in withdraw:
        del table[nlri.key(nlri.encode(route.nlri))]
    for route in announce:
        table[nlri.key(nlri.encode(route.nlri))] = route
    assert table == dict(now.routes)


@given(EDITS, EDITS)
def test_reindex_equals_index(first, second):
    old, _ = edited(start(), first)
    new, changes = edited(old, second)
    assert reindex(index(old), old, new, changes) == index(new)


def key(route):
    return nlri.key(nlri.encode(route.nlri))


def play(table, events, now=0.0):
    for peer, kind, route in events:
        if kind == "announce":
            update = Update(announced=((key(route), route),))
        else:
            update = Update(withdrawn=(key(route),))
        table, _ = learn.receive(table, peer, update, now)
    return table


def standing(events):
    """What the peers stand by after the events."""
    last = {}
    for peer, kind, route in events:
        last[peer, key(route)] = route if kind == "announce" else None
    return {ref: route for ref, route in last.items() if route is not None}


def expected(snapshot, routes):
    """The remotes that a plain reading gives, without any memory."""
    claims: dict[object, list[MacClaim]] = {}
    floods = set()
    prefixes: dict[object, list[PrefixClaim]] = {}
    spoken: dict[object, list[AddressClaim]] = {}
    segments: dict[bytes, list[SegmentClaim]] = {}
    for route in routes:
        verdict = judge(snapshot, index(snapshot), route)
        if isinstance(verdict, MacClaim):
            claims.setdefault((verdict.network, verdict.mac), []).append(verdict)
        elif isinstance(verdict, FloodClaim):
            floods.add((verdict.network, verdict.vtep))
        elif isinstance(verdict, PrefixClaim):
            prefixes.setdefault((verdict.vrf, verdict.prefix), []).append(verdict)
        elif isinstance(verdict, AddressClaim):
            spoken.setdefault((verdict.network, verdict.address), []).append(verdict)
        elif isinstance(verdict, SegmentClaim):
            segments.setdefault(verdict.segment, []).append(verdict)

    def reach(segment, network, mac):
        owners = sorted(p.key for p in snapshot.ports_of(network) if p.mac == mac)
        hosts = {*snapshot.hypervisors} & {*(snapshot.ports[owners[0]].hosts if owners else ())}
        found = gather(segments.get(segment, ()), network)
        return replace(found, aliases=found.aliases & {snapshot.hypervisors[name].vtep for name in hosts})

    chosen = {spot: select(tuple(some), (), reach) for spot, some in claims.items()}
    chosen = {spot: remote for spot, remote in chosen.items() if remote is not None}
    hops = {spot: select_hops(tuple(some), (), snapshot.down) for spot, some in prefixes.items()}
    newest = {spot: select_address(tuple(some), ()) for spot, some in spoken.items()}
    return chosen, floods, hops, newest


def settled(table):
    """After every hold: no peer stands by what is held any longer."""
    for vtep in sorted(learn.probes(table), key=str):
        table, _ = learn.probe_failed(table, vtep)
    return table


UNDAMPED = Limits(moves=0)
"""Without damping, which remembers what moved."""


@HARD
@given(EDITS, EVENTS, EDITS)
def test_learning_then_changing_equals_changing_then_learning(first, events, second):
    """Routes of a network that was not known are asked for again, as the agent does."""
    old, _ = edited(start(), first)
    new, changes = edited(old, second)
    table = play(learn.start(old, UNDAMPED), events)
    known = {*table.live, *table.refused}
    table, outcome = learn.consider(table, new, changes)
    for (peer, route_key), route in standing(events).items():
        if set(route.attributes.route_targets) & set(outcome.relearn):
            table, _ = learn.receive(table, peer, Update(announced=((route_key, route),)), 0.0)
    table = settled(table)
    judged = {(ref[1], ref[0]): judge(new, index(new), route) for ref, route in standing(events).items()}
    refused = {ref: verdict.code for ref, verdict in judged.items() if isinstance(verdict, Refused)}
    assert {ref: one.code for ref, one in table.refused.items()}.items() <= refused.items()
    assert known & refused.keys() <= set(table.refused)  # what was not imported before is nobody's concern
    remotes, floods, prefixes, claimed = expected(new, standing(events).values())
    assert dict(table.remotes) == remotes
    assert set(table.floods) == floods
    assert dict(table.prefixes) == prefixes
    assert dict(table.claimed) == claimed


def reflected(route):
    """As another reflector passes it on (RFC 4456 section 8); FRR adds a MED."""
    return replace(route, attributes=replace(route.attributes, med=0, originator=7, clusters=(8, 9)))


INDEXES = ("live", "refused", "peers_of", "tokens", "doubts", "entities")
CHOSEN = ("remotes", "floods", "prefixes", "claimed")


@HARD
@given(EDITS, EVENTS, EDITS)
def test_a_replay_onto_what_is_held_equals_a_replay_onto_nothing(first, events, second):
    """Whatever the store changed meanwhile: what was held is taken over without being judged, so it must be
    what a judgement would make of it."""
    old, _ = edited(start(), first)
    new, changes = edited(old, second)
    table = play(learn.start(old, UNDAMPED), events)
    for peer in PEERS:
        table, _ = learn.peer_down(table, peer, 0.0)
    table, _ = learn.consider(table, new, changes)
    again = [(peer, "announce", reflected(route)) for (peer, _), route in standing(events).items()]
    taken, fresh = settled(play(table, again)), settled(play(learn.start(new, UNDAMPED), again))
    for name in INDEXES + CHOSEN:
        assert getattr(taken, name) == getattr(fresh, name), name


@given(EDITS, EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_announcements_does_not_matter(first, events, chance):
    snapshot, _ = edited(start(), first)
    final = [(peer, "announce", route) for (peer, _), route in standing(events).items()]
    shuffled = list(final)
    chance.shuffle(shuffled)
    one, other = play(learn.start(snapshot), final), play(learn.start(snapshot), shuffled)
    assert (one.remotes, one.prefixes) == (other.remotes, other.prefixes)
    assert one.claimed == other.claimed


@given(EDITS, EVENTS)
def test_outcomes_add_up_to_the_table(first, events):
    snapshot, _ = edited(start(), first)
    table, shown = learn.start(snapshot), snapshot
    for event in events:
        peer, kind, route = event
        said = (
            Update(announced=((key(route), route),))
            if kind == "announce"
            else Update(withdrawn=(key(route),))
        )
        table, outcome = learn.receive(table, peer, said, 0.0)
        shown, _ = outcome.apply(shown)
    table, outcome = learn.peer_down(table, PEERS[0], 1.0)
    shown, _ = outcome.apply(shown)
    assert (shown.remotes, shown.floods) == (table.remotes, table.floods)
    assert shown.prefixes == table.prefixes
    assert shown.claimed == table.claimed


@given(EDITS, EVENTS)
def test_nothing_is_left_when_the_peers_take_everything_back(first, events):
    """No index leaks: after all withdrawals and holds the table is as at the start, but for its counters."""
    snapshot, _ = edited(start(), first)
    table = play(learn.start(snapshot), events)
    for (peer, route_key), _ in standing(events).items():
        table, _ = learn.receive(table, peer, Update(withdrawn=(route_key,)), 0.0)
    table = settled(table)
    bare = learn.start(snapshot)
    counts = bare.counts.update(dict.fromkeys(table.counts, 0))
    assert replace(table, counters=bare.counters) == replace(bare, counts=counts)


@given(EDITS, EVENTS)
def test_a_host_never_learns_of_itself_or_of_the_unauthorised(first, events):
    snapshot, _ = edited(start(), first)
    table = play(learn.start(snapshot), events)
    for remote in table.remotes.values():
        owners = [p for p in snapshot.ports_of(remote.network) if p.mac == remote.mac]
        hosts = {n for n, h in snapshot.hypervisors.items() if h.vtep == remote.vtep}
        assert hosts - {HostName("h0")}
        assert any(hosts & set(port.hosts) for port in owners)
        assert any(set(remote.addresses) <= set(port.addresses) for port in owners)


def test_the_worlds_are_not_barren():
    """Positive control: in a good part of what is generated routes are announced, learned and refused."""
    tally: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, phases=[Phase.generate], database=None, derandomize=True)
    @given(EDITS, EVENTS)
    def count(first, events):
        snapshot, _ = edited(start(), first)
        table = play(learn.start(snapshot), events)
        tally.update(
            announced=bool(originate(snapshot).routes),
            remotes=bool(table.remotes),
            routers=any(remote.router_mac is not None for remote in table.remotes.values()),
            floods=bool(table.floods),
            prefixes=bool(table.prefixes),
            said=bool(originate(snapshot).by_vrf),
            refused=bool(table.refused),
            held=bool(table.held),
            claimed=bool(table.claimed),
            segments=any(remote.segment for remote in table.remotes.values()),
            waiting=bool(waiting(table)),
        )

    count()
    wanted = ("announced", "remotes", "routers", "floods", "prefixes", "said", "refused", "held", "claimed")
    wanted = (*wanted, "segments", "waiting")
    assert all(tally[name] >= 5 for name in wanted), tally


@given(EDITS, EVENTS)
def test_updates_together_equal_updates_one_after_the_other(first, events):
    snapshot, _ = edited(start(), first)
    said = [
        (
            peer,
            Update(announced=((key(route), route),))
            if kind == "announce"
            else Update(withdrawn=(key(route),)),
        )
        for peer, kind, route in events
    ]
    table, shown = learn.start(snapshot), snapshot
    for one in said:
        table, outcome = learn.receive(table, *one, 0.0)
        shown, _ = outcome.apply(shown)
    together, outcome = learn.receive_all(learn.start(snapshot), said, 0.0)
    assert together == table
    assert outcome.apply(snapshot)[0] == shown
