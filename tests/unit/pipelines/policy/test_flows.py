"""Flows of policies: what they look like, and that they grow with the sum of what a rule names."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.errors import Exhausted
from model.flow import Flow
from model.ids import Uid
from model.labels import labels, matching
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Endpoint,
    Peer,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
)
from pipelines.policy import flows as module
from pipelines.policy.entries import standing
from pipelines.policy.flows import compile
from pipelines.policy.grouping import name
from pipelines.policy.resolve import Directory
from pipelines.render import text
from tests.fakes.chains import chain
from tests.fakes.policies import DB, WORLD, port

CHAIN = chain(Direction.IN)
SILENT = Defaults()
WEB = Selection(matching([("app", "web")]))

FOUR, SIX = (f"eth_type={kind},ct_state=-inv+trk" for kind in ("0x800", "0x86dd"))


def laid(
    *rules: Rule,
    ports: tuple[Endpoint, ...] = (DB,),
    known: tuple[Endpoint, ...] = WORLD,
    defaults: Defaults = SILENT,
) -> tuple[Flow, ...]:
    """Without the misses, which are always there."""
    policy = Policy("p", "acme", subject=Selection(), rules=rules, defaults=defaults)
    entries = standing((policy,), {}, Direction.IN)
    numbers = {entry.place: index for index, entry in enumerate(entries, 1)}
    found = compile(CHAIN, entries, ports, Directory.of(known), numbers)
    return tuple(flow for flow in found if flow.fill(flow.shape.priority))


def rule(*parts: Peer | Service, action: Action = Action.ALLOW, state: State = State.ENFORCE) -> Rule:
    peers = tuple(part for part in parts if not isinstance(part, Service))
    services = tuple(part for part in parts if isinstance(part, Service))
    return Rule(Direction.IN, action, peers, services, state)


def tcp(first: int, last: int | None = None) -> Service:
    return Service(Protocol.TCP, PortRange(first, last or first))


def judged(*states: State) -> str:
    """The match of ports that these rules judge, numbered from 1."""
    return f"metadata={name(((number, Uid('')), state) for number, state in enumerate(states, 1)):#x}"


def shown(flows: tuple[Flow, ...]) -> list[str]:
    return sorted(text(flow).partition(",")[2].replace("priority=", "") for flow in flows)


def test_a_rule_is_a_conjunction() -> None:
    block = Block(ip_network("192.0.2.0/24"))
    assert shown(laid(rule(WEB, block, tcp(80, 82)))) == [
        "table=235,60000,conj_id=2 actions=set_field:2->reg14,goto_table:238",
        f"table=235,60000,{FOUR},ct_nw_proto=6,ct_tp_dst=80/65534 actions=conjunction(2,3/3)",
        f"table=235,60000,{FOUR},ct_nw_proto=6,ct_tp_dst=82 actions=conjunction(2,3/3)",
        f"table=235,60000,{FOUR},ct_nw_src=192.0.2.0/255.255.255.0 actions=conjunction(2,2/3)",
        f"table=235,60000,{SIX},ct_nw_proto=6,ct_tp_dst=80/65534 actions=conjunction(2,3/3)",
        f"table=235,60000,{SIX},ct_nw_proto=6,ct_tp_dst=82 actions=conjunction(2,3/3)",
        f"table=235,60000,{judged(State.ENFORCE)} actions=conjunction(2,1/3)",
        f"table=235,60000,reg12=1,{FOUR},ct_nw_src=10.0.0.1 actions=conjunction(2,2/3)",
        f"table=235,60000,reg12=1,{SIX},ct_ipv6_src=fd00::1 actions=conjunction(2,2/3)",
    ]


def test_a_default_is_one_flow_for_all_ports() -> None:
    shut = laid(defaults=Defaults(inward=Default(Action.DENY)), ports=WORLD[:2])
    assert shown(shut) == [f"table=235,60000,{judged(State.ENFORCE)} actions=drop"]


def test_what_counts_is_noted_and_counted_for_each_port() -> None:
    assert shown(laid(defaults=Defaults(inward=Default(Action.DENY, State.COUNT)))) == [
        f"table=231,60000,{judged(State.COUNT)} actions=set_field:3->reg13,goto_table:234",
        "table=238,60000,reg13=3,reg11=3 actions=goto_table:239",
    ]


def test_ports_for_which_nothing_counts_have_no_flows_of_the_other_world() -> None:
    assert {flow.shape.table for flow in laid(rule(WEB))} == {235}
    both = {flow.shape.table for flow in laid(rule(WEB), rule(state=State.COUNT, action=Action.DENY))}
    assert both == {231, 235, 238}


def test_a_rule_for_nobody_has_no_flows() -> None:
    assert laid(rule(Selection(matching([("app", "nothing")])))) == ()


def many(count: int) -> tuple[Endpoint, ...]:
    """Ports with an address of each family that bear the same label."""
    first4, first6 = ip_address("10.64.0.0"), ip_address("fd64::")
    made = (port(1000 + n, str(first4 + n), str(first6 + n)) for n in range(count))
    return tuple(replace(one, labels=labels([("app", "web")])) for one in made)


@pytest.mark.parametrize(("peers", "services"), [(1, 1), (1, 100), (100, 1), (100, 100), (1000, 100)])
def test_flows_grow_with_the_sum(peers: int, services: int) -> None:
    """Two families: an address of each for a port, and a flow in each for a service."""
    subjects, known = many(50)[:7], many(peers)
    every = tuple(tcp(2 * n + 1) for n in range(services))
    flows = laid(rule(WEB, *every), ports=subjects, known=known)
    assert len(flows) == 1 + 2 * peers + 2 * services + 1


def test_five_thousand_ports_that_a_selector_takes() -> None:
    """As peers of what lives here, in two rules, one of them with ranges."""
    known = many(5_000)
    flows = laid(rule(WEB, tcp(443)), rule(WEB, tcp(1, 65534)), ports=known[:50], known=known)
    assert len(flows) == 2 * (1 + 10_000 + 1) + 2 * (1 + 30)


def test_too_many_rules_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOP", 3)
    assert laid(rule(tcp(1)), rule(tcp(2)))
    with pytest.raises(Exhausted, match="3 rules concern its ports"):
        laid(rule(tcp(1)), rule(tcp(2)), rule(tcp(3)))
