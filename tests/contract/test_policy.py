"""Policy in a real switch: drawn policies, as conjunctive flows in scratch tables, judge drawn packets as the
slow verdict does."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.tracing import Met, parse
from model.change import Patch
from model.flow import Field, Flow
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
)
from pipelines import fields as f
from pipelines.policy.verdict import Connection, Judged, judge
from pipelines.render import value
from pipelines.walk import Packet
from tests.contract.ovs import PrivateOvs
from tests.fakes.chains import DECIDED, NOTED, Laid, lay, packet, run
from tests.fakes.policies import CONNECTIONS, connections, policy_sets, tenants

FIELDS = {one.name: one for one in f.FIELDS}
EXAMPLES = max(25, settings.default.max_examples // 4)


def question(seen: Packet) -> str:
    """As ofproto/trace takes it, prerequisites first."""
    first = ("in_port", "eth_type", "ip_proto", "ct_state", "ct_nw_proto")
    names = [*first, *(name for name in seen if name not in first)]
    told = {name: value(FIELDS.get(name, Field(name, 32)), seen[name]) for name in names}
    return ",".join(f"{name}={word}" for name, word in (told | {"ct_state": "trk|new"}).items())


def put(channel: Channel, flows: tuple[Flow, ...]) -> None:
    assert channel.send(Patch(((flows, ()),))).refused == ()


def traced(ovs: PrivateOvs, laid: Laid, seen: Packet) -> tuple[Judged, tuple[Met, ...]]:
    """What the real switch says, from the first table of the chain on."""
    text = unixctl.resume(ovs.rundir, "br-int", question(seen), laid.start)
    found = parse(text, 1)
    if found.path[-1].table != laid.counted.allowed:
        return Judged(Action.DENY, None), found.path
    by, hit = (laid.entry(found.final.get(field.name, 0)) for field in (DECIDED, NOTED))
    return Judged(Action.ALLOW, by, hit), found.path


@pytest.fixture
def stage(ovs: PrivateOvs, channel: Channel) -> Iterator[tuple[PrivateOvs, Channel]]:
    yield ovs, channel
    ovs.ofctl("del-flows")


@given(policy_sets(), tenants, st.lists(connections, min_size=25, max_size=25))
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # smaller ones: ask the property of the same flows
)
def test_a_real_switch_judges_as_the_verdict_does(
    stage: tuple[PrivateOvs, Channel],
    policies: tuple[Policy, ...],
    of_tenants: dict[str, Defaults],
    tried: list[Connection],
) -> None:
    ovs, channel = stage
    ovs.ofctl("del-flows")
    laid = {direction: lay(policies, of_tenants, direction) for direction in Direction}
    put(channel, tuple(flow for one in laid.values() for flow in one.flows))
    for connection in tried:
        outcome = judge(connection, policies, of_tenants)
        for direction, wanted in ((Direction.OUT, outcome.outward), (Direction.IN, outcome.inward)):
            if wanted is None:
                continue
            said, path = traced(ovs, laid[direction], packet(laid[direction], connection, direction))
            assert said.action is wanted.action, (connection, path)
            if wanted.action is Action.ALLOW:
                assert (said.by and said.by.place) == (wanted.by and wanted.by.place)
                assert (said.hit and said.hit.place) == (wanted.hit and wanted.hit.place)
            else:
                assert wanted.by is not None and path[-1].cookie >> 24 & 0xFFFFF == _mark(laid, wanted)


def _mark(laid: dict[Direction, Laid], judged: Judged) -> int:
    """The number in the cookie of the flow that drops."""
    assert judged.by is not None
    return laid[judged.by.direction].numbers[judged.by.place] << 1


def test_what_the_switch_holds_is_what_was_sent(stage: tuple[PrivateOvs, Channel]) -> None:
    _, channel = stage
    laid = lay(WIDE, {}, Direction.IN)
    put(channel, laid.flows)
    findings = channel.audit(laid.flows)
    assert not findings and findings.right == len(laid.flows)


SERVICES = (
    Service(Protocol.TCP, PortRange(1, 65534)),
    Service(Protocol.UDP),
    Service(Protocol.SCTP, PortRange(80, 80)),
    Service(Protocol.ICMP, kind=8),
    Service(Protocol.ICMP, code=4),
    Service(Protocol.ICMPV6, kind=128, code=0),
    Service(Protocol.ICMPV6),
    Service(47),
)
SOME = ("10.0.0.0/9", "198.51.100.7/32", "8000::/1", "2001:db8:9::7/128")
ALL = ("0.0.0.0/0", "::/0")


def deny(prefixes: tuple[str, ...], *services: Service) -> Rule:
    return Rule(Direction.IN, Action.DENY, tuple(Block(ip_network(text)) for text in prefixes), services)


WIDE = (
    Policy(
        "wide",
        "acme",
        rules=(
            deny(SOME, *SERVICES),
            deny(ALL, *SERVICES[:2]),
            deny(ALL, Service(Protocol.SCTP)),
            Rule(Direction.IN, Action.PASS, (Selection(),)),
        ),
        defaults=Defaults(inward=Default(Action.DENY, State.COUNT)),
    ),
)
"""Every form of a clause."""


def test_the_fake_choice_among_conjunctions_is_the_switch_s(stage: tuple[PrivateOvs, Channel]) -> None:
    ovs, channel = stage
    laid = lay(WIDE, {}, Direction.IN)
    put(channel, laid.flows)
    outcomes = set()
    for connection in CONNECTIONS[::41]:
        if connection.target is None:
            continue
        seen = packet(laid, connection, Direction.IN)
        last, _ = run(laid, seen)
        said, path = traced(ovs, laid, seen)
        assert (said.action is Action.ALLOW) == (last is not None), path
        outcomes.add(said.action)
    assert outcomes == {Action.ALLOW, Action.DENY}
