"""A change of policy comes while packets are on their way: Open vSwitch goes on with the cached first half of
one, up to a look-up among connections, and with the tables of after the change behind it.

What both the old and the new policies allow is lost in no moment of it, also where ports come under policy or
leave it; what both forbid at an end is refused there. By the slow verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from model.change import Change, Part
from model.flow import Flow
from model.ids import PortKey
from model.policy import Action, Direction, Policy, Rule
from model.snapshot import Snapshot
from pipelines import tables as t
from pipelines.compile import compile, recompile
from pipelines.lookup import Lookup
from pipelines.policy import seated
from pipelines.policy.verdict import Connection
from pipelines.tracking import Packet
from pipelines.walk import walk
from tests.fakes import world
from tests.fakes.conntrack import Conntrack
from tests.fakes.packets import received
from tests.fakes.policies import WORLD, policy_sets, tenants
from tests.fakes.under_policy import BARE, opening
from tests.property.pipelines.test_policy_judged import INSIDE, WATCHED, inside
from tests.property.pipelines.test_policy_turns import Said, Store, altered, gaps, held, moments

_BEHIND = frozenset(table.number for table in t.OWN)
LOOKUPS = (1, 2, 3, 4)
"""Of a packet between two ports of one host: where it leaves and where it enters, before and after it is
judged there."""


@dataclass
class Halves:
    """Goes by `before` up to look-up number `at`, and by `after` behind it."""

    before: Lookup
    after: Lookup
    at: int
    passed: list[int] = field(default_factory=list)

    def choose(self, table: int, packet: Packet) -> Flow | None:
        """See `pipelines.walk.Tables`."""
        if table in _BEHIND:
            self.passed.append(table)
        return (self.after if len(self.passed) >= self.at else self.before).choose(table, packet)


def passes(switch: Halves, connection: Connection) -> bool:
    source, target = connection.source, connection.target
    assert source is not None
    assert target is not None
    packet = received(opening(connection, source, target))
    return target.key in {sent.port for sent in walk(switch, packet, Conntrack()).sent}


def draining(snapshot: Snapshot) -> tuple[Snapshot, list[Change]]:
    """The zones of ports that no policy judges are those of ports that one has judged before."""
    changes = []
    for one in WORLD:
        kinds = ("policy", "draining") if seated.under(snapshot, PortKey(one.key)) else ("draining", "policy")
        for kind, zone in zip(kinds, (100 + one.key, None), strict=True):
            snapshot = world.with_part(snapshot, Part.ZONE, (kind, one.key), zone)
            changes.append(Change(Part.ZONE, (kind, one.key)))
    return snapshot, changes


def under(said: Said, store: Store, before: Snapshot) -> tuple[Snapshot, list[Change]]:
    snapshot, changes = held(said, store, before)
    zoned, more = draining(snapshot)
    return zoned, changes + more


def on_the_way(first: Said, then: Said) -> Iterator[Halves]:
    """Each way in which a packet may meet the change."""
    switches = [*moments(first, then, how=under)]
    for after in switches[1:]:
        for at in LOOKUPS:
            yield Halves(switches[0], after, at)


@st.composite
def comings_and_goings(draw: st.DrawFn) -> tuple[Said, Said]:
    """What holds, and what is to hold; either may leave ports under no policy."""
    before, defaults = draw(policy_sets()), draw(tenants)
    after = draw(st.one_of(altered(before), policy_sets(), st.just(())))
    watched: list[tuple[Policy, ...]] = [draw(st.sampled_from([(), (WATCHED,)])) for _ in range(2)]
    others = draw(st.sampled_from([defaults, {}]))
    return (
        Said((*before, *watched[0]), defaults, draw(gaps)),
        Said((*after, *watched[1]), others, draw(gaps)),
    )


@given(comings_and_goings(), inside)
@settings(max_examples=40)
def test_what_is_on_its_way_is_lost_by_no_change_that_allows_it(
    change: tuple[Said, Said], tried: list[Connection]
) -> None:
    first, then = change
    allowed = [one for one in tried if first.judges(one) and then.judges(one)]
    for switch in on_the_way(first, then) if allowed else ():
        for connection in allowed:
            switch.passed.clear()
            assert passes(switch, connection)


@given(comings_and_goings(), inside)
@settings(max_examples=40)
def test_what_both_forbid_at_an_end_ends_there(change: tuple[Said, Said], tried: list[Connection]) -> None:
    """An end that forbids it only before, and the other only after it, are two moments (docs/policy.md)."""
    first, then = change
    ends = [(first.ends(one), then.ends(one), one) for one in tried]
    denied = [one for was, now, one in ends if any(not (a or b) for a, b in zip(was, now, strict=True))]
    for switch in on_the_way(first, then) if denied else ():
        for connection in denied:
            switch.passed.clear()
            assert not passes(switch, connection)


SOME = next(one for one in INSIDE if one.source and one.target and (one.protocol, one.port) == (6, 443))
ALLOWING = tuple(Rule(direction, Action.ALLOW) for direction in Direction)
OPEN = Said((Policy("open", "acme", rules=ALLOWING),), {}, (1,))
MORE = Said((Policy("open", "acme", rules=(*ALLOWING, *ALLOWING)),), {}, (1,))
NOBODY = Said((), {}, (1,))


def test_a_packet_meets_each_look_up() -> None:
    """So each of them was tried; and where nothing is looked up any more, what was kept for it may go."""
    store = Store()
    old, _ = under(OPEN, store, BARE)
    for then in (MORE, NOBODY):
        ways = [*on_the_way(OPEN, then)]
        assert all(passes(switch, SOME) for switch in ways)
        assert {len(switch.passed) for switch in ways} >= {4}
    new, changes = under(NOBODY, store, old)
    program, _ = recompile(compile(old), old, new, changes)
    zones = [key for key in new.zones if key[0] == "draining"]
    clean = new
    for key in zones:
        clean = world.with_part(clean, Part.ZONE, key, None)
    after, patch = recompile(program, new, clean, [Change(Part.ZONE, key) for key in zones])
    assert len(zones) == len(WORLD) and after == compile(clean)
    # what is behind look-ups, and the way out of a port that has no limit
    assert sorted(len(drop) for _, drop in patch.groups) == [1] * len(zones) + [6] * len(zones)
    assert not [flow for flow in after.flows() if flow.shape.table in _BEHIND and flow.shape.priority]
