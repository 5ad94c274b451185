"""What an agent answers to `trace`, `arrival` and `flows`: walks in words, and whether its switch agrees."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from bgp.table import Limits
from controller.agent import core, listing, tracing
from controller.agent.inquiry import arrival, sending
from controller.agent.naming import names
from controller.agent.questioning import Questioning
from controller.agent.tracing import Ground, ground
from controller.southbound.openflow.dump import Dump, parse
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.tracing import Met, Traced
from controller.store.questions import Question
from model.change import Part
from model.errors import Conflict, Fault, Invalid, NotFound, Unavailable
from model.flow import Flow
from model.ids import HostName, PortKey, Uid
from model.policy import Action, Block, Direction, Policy, Tier
from model.snapshot import Snapshot, without_port
from pipelines import lookup
from pipelines.compile import compile
from pipelines.walk import Packet, Sent, walk
from tests.fakes import outward, ruled, world
from tests.fakes.governed import governed
from tests.fakes.switch import Switch

HERE = HostName("hv1")


def standing(snapshot: Snapshot) -> Ground:
    start = core.start(HERE, None, Limits())
    state = replace(start, effective=snapshot, program=compile(snapshot), session=True)
    return ground(state, lookup.build(state.program))


def honest(on: Ground, flows: list[Flow] | None = None) -> Any:
    """A switch that has the compiled flows, or these."""
    switch = Switch.of(on.core.program.flows() if flows is None else flows)

    def real(packet: Packet, table: int) -> Traced:
        done = walk(switch, packet, start=table)
        path = tuple(
            Met(s.table, None)
            if s.flow is None
            else Met(s.table, s.flow.fill(s.flow.shape.priority), s.flow.cookie)
            for s in done.steps
            if not s.turn
        )
        sent = (e for s in done.steps if not s.turn for e in s.effects if isinstance(e, Sent))
        return Traced(path, tuple((e.port, {"reg0": e.has("reg0")}) for e in sent), {})

    return real


def asked(key: int, to: str, **more: Any) -> Any:
    return sending(json.dumps({"port": f"port-{key}", "to": to} | more))


def tables(leg: dict[str, Any]) -> list[str]:
    return [step["table"] for step in leg["steps"]]


@pytest.mark.parametrize("to", ["10.0.1.12", "fd00:0:0:1::c"])
def test_bridged_into_the_tunnel(to: str) -> None:
    on = standing(world.routed())
    asks, sends = tracing.trace(asked(11, to), on, honest(on))["legs"]
    assert asks["ends"][0]["what"] == "answered" and to in asks["title"]
    (end,) = sends["ends"]
    assert end["what"] == "tunnelled" and "VTEP 192.0.2.2 (hv2)" in end["text"] and "(t1/n1)" in end["text"]
    (onward,) = sends["onward"]
    assert (onward["from"], onward["vtep"], onward["vni"]) == ("192.0.2.1", "192.0.2.2", 1001)
    assert not [name for name in onward["packet"] if name.startswith(("reg", "tun_", "in_port", "ct_"))]
    assert sends["switch"] == {"verdict": "agrees", "text": f"{len(sends['steps'])} flows, as compiled"}
    owners = {step["table"]: step["owner"] for step in sends["steps"]}
    assert owners["classify"] == "port t1/p11" and owners["resolve"].startswith("remote port p12 ")


def test_an_underlay_of_ipv6() -> None:
    on = standing(world.routed("2001:db8::1", ("2001:db8::2", "2001:db8::3")))
    _, sends = tracing.trace(asked(11, "10.0.3.12"), on, honest(on))["legs"]
    (onward,) = sends["onward"]
    assert (onward["from"], onward["vtep"], onward["vni"]) == ("2001:db8::1", "2001:db8::2", 5001)
    assert "VTEP 2001:db8::2 (hv2)" in sends["ends"][0]["text"] and sends["switch"]["verdict"] == "agrees"
    router = int(world.routed().hypervisors[HERE].router_id) | 0x0E52 << 32
    inner = onward["packet"] | {"eth_dst": router, "ip_dst": int(ip_address("10.0.1.11"))}
    came = arrival(json.dumps({"vtep": "2001:db8::2", "vni": 5001, "packet": inner}))
    (leg,) = tracing.arrive(came, on, honest(on))["legs"]
    assert leg["ends"][0]["text"] == "delivered to port t1/p11 on hv1"


def test_routed_to_a_port_here_tcp() -> None:
    on = standing(world.routed())
    _, sends = tracing.trace(asked(11, "10.0.2.11", proto="tcp", dport=443), on, honest(on))["legs"]
    assert sends["ends"][0]["text"] == "delivered to port t1/p21 on hv1"
    assert sends["packet"]["tcp_dst"] == "443" and sends["packet"]["in_port"] == "t1/p11"
    assert "route" in tables(sends)


@pytest.mark.parametrize(
    ("key", "to", "where", "words"),
    [
        (11, "10.0.1.99", "services", "no port of network t1/n1 has the address 10.0.1.99"),
        (11, "fd00:0:0:1::99", "advertise", "no port of network t1/n1 has the address fd00:0:0:1::99"),
        (11, "10.0.2.99", "route", "no port has the address 10.0.2.99 in its subnet of tenant t1"),
        (11, "198.51.100.1", "translate", "no route to 198.51.100.1: tenant t1 has no"),
        (41, "198.51.100.1", "services", "no port of network t1/n4 has the address 10.0.4.1"),
        (11, "10.0.1.11", "services", "its own address"),
        (11, "224.0.0.251", "resolve", "network t1/n1 does not replicate"),
        (11, "10.0.1.255", "resolve", "network t1/n1 does not replicate"),
    ],
)
def test_drops_are_explained(key: int, to: str, where: str, words: str) -> None:
    on = standing(world.routed())
    told = tracing.trace(asked(key, to), on, honest(on))["legs"]
    (end,) = told[-1]["ends"]
    assert end["what"] == "dropped" and words in end["text"] and end["text"].startswith(f"in {where}: ")
    assert end["remedy"] and "{" not in end["text"] + end["remedy"]


def test_what_strays_is_explained_by_the_rule_that_forbids() -> None:
    """The address was learned, and no port in the store has it."""
    rules = (ruled.rule(Direction.OUT, Action.DENY, Block(ip_network("198.51.100.0/24"))),)
    policy = ruled.seated(Policy("afar", "", Tier.OPERATOR, rules=rules), owner=0)
    snapshot = world.with_part(governed(world.routed()), Part.POLICY, policy.uid, policy)
    for declared, what in ((True, "tunnelled"), (False, "dropped")):
        known = snapshot if declared else without_port(snapshot, PortKey(12))
        on = standing(known)
        (end,) = tracing.trace(asked(11, "10.0.1.12"), on, honest(on))["legs"][-1]["ends"]
        assert end["what"] == what
    assert end["text"].startswith("in addressee: policy: rule 1 of afar forbids the port to send")
    assert "02:00:00:00:01:02 does not have 10.0.1.12" in end["text"]


@pytest.mark.parametrize(
    ("key", "to", "octets", "words"),
    [
        (11, "10.0.1.12", 1451, "in oversize: too big: MTU 1450 of network t1/n1;"),
        (11, "10.0.2.11", 1401, "in oversize: too big: MTU 1400 of network t1/n2, where it is routed to;"),
        (13, "fd00:0:0:3::c", 1301, "in oversize: too big: MTU 1300 of network t1/n3, where"),
        (11, "10.0.1.12", 1501, "too big: MTU 1500 of interface tap11 of port t1/p11"),
    ],
)
def test_what_is_too_big_is_named_with_the_mtu(key: int, to: str, octets: int, words: str) -> None:
    on = standing(world.narrowed())
    last = tracing.trace(asked(key, to, size=octets + 14), on, honest(on))["legs"][-1]
    (end,) = last["ends"]
    assert end["what"] == "dropped" and end["text"].startswith(words) and end["remedy"]
    assert last["switch"]["verdict"] == "agrees"
    fits = tracing.trace(asked(key, to, size=octets + 13), on, honest(on))["legs"][-1]
    assert fits["ends"][0]["what"] != "dropped" or octets == 1501


@pytest.mark.parametrize("vtep", ["192.0.2.2", "192.0.2.4"])
def test_arrival(vtep: str) -> None:
    on = standing(world.routed())
    router = int(world.routed().hypervisors[HERE].router_id) | 0x0E52 << 32
    inner = {"eth_src": 2, "eth_dst": router, "eth_type": 0x800, "ip_src": 1, "nw_ttl": 63, "ip_proto": 1}
    inner |= {"ip_dst": int(ip_address("10.0.1.11")), "reg0": 9, "tun_id": 7, "in_port": 3}
    inner |= {"ct_state": 0x21, "ct_label": 9 << 32, "ct_nw_src": 1}
    came = arrival(json.dumps({"vtep": vtep, "vni": 5001, "packet": inner}))
    (leg,) = tracing.arrive(came, on, honest(on))["legs"]
    assert "under VNI 5001 (tenant t1)" in leg["title"]
    assert not [name for name in leg["packet"] if name.startswith(("reg", "ct_"))]
    if vtep == "192.0.2.2":
        assert leg["ends"][0]["text"] == "delivered to port t1/p11 on hv1", (
            "what it claims of itself is ignored"
        )
    else:
        assert "its VTEP may not send this VNI" in leg["ends"][0]["text"]


@pytest.mark.parametrize("to", ["10.50.0.9", "fd50::9"])
def test_where_a_hash_decides_all_ways_are_listed(to: str) -> None:
    on = standing(world.hopped())
    sends = tracing.trace(asked(13, to), on, honest(on))["legs"][1]
    assert sum(way["hashes"] for way in sends["ways"]) == 64
    assert len(sends["ways"]) > 1 and sends["ends"][0]["text"] in [way["text"] for way in sends["ways"]]
    plain = tracing.trace(asked(13, "10.0.2.11"), on, honest(on))["legs"][1]
    assert plain["ways"] == []


def test_every_owner_has_a_name() -> None:
    """No object is shown as a bare number, whatever kinds come later."""
    for snapshot in (world.hopped(), world.qualified(), outward.leaving()):
        shown, program = names(snapshot), compile(snapshot)
        words = {subject: shown.object(subject) for subject in program.groups}
        bare = [text for text in words.values() if "with key" in text or re.search(r"\w+ \d+$", text)]
        assert bare == []


def test_the_first_difference_is_told() -> None:
    on = standing(world.routed())
    flows = list(on.core.program.flows())
    victim = next(
        f
        for f in flows
        if f.shape.name == "route-local4" and ip_address("10.0.2.11") == ip_address(f.values[1])
    )
    question = asked(11, "10.0.2.11")

    def verdict(changed: list[Flow]) -> dict[str, str]:
        return dict(tracing.trace(question, on, honest(on, changed))["legs"][1]["switch"])

    assert verdict(flows)["verdict"] == "agrees"
    missing = verdict([f for f in flows if f != victim])
    assert missing["verdict"] == "differs" and "in route another flow takes it" in missing["text"]
    alien = verdict([replace(victim, cookie=5), *(f for f in flows if f != victim)])
    assert "not ours" in alien["text"] and "route-local4" not in alien["text"]
    ended = replace(victim, shape=replace(victim.shape, goto=None))
    other = verdict([ended, *(f for f in flows if f != victim)])
    assert "the switch ends, the compiled flows go on to" in other["text"]
    bare = verdict([f for f in flows if f.shape.table != victim.shape.table])
    assert "the switch has no flow for it" in bare["text"]
    tagged = [
        replace(f, values=(f.values[0], 77, *f.values[2:])) if f.shape.name == "classify-local" else f
        for f in flows
    ]
    assert verdict(tagged)["verdict"] == "differs"


def test_other_numbers_in_what_is_sent_are_a_difference() -> None:
    on = standing(world.routed())

    def real(packet: Packet, table: int) -> Traced:
        told = honest(on)(packet, table)
        return replace(told, sent=tuple((port, {"eth_dst": 0x020000000099}) for port, _ in told.sent))

    said = tracing.trace(asked(11, "10.0.2.11"), on, real)["legs"][1]["switch"]
    assert said["verdict"] == "differs" and "02:00:00:00:00:99" in said["text"]


def test_a_switch_that_does_not_answer_is_not_said_to_agree() -> None:
    def real(_packet: Packet, _table: int) -> Traced:
        raise Unavailable(Fault("switch", "ovs-unavailable", "no answer to ofproto/trace", "start it"))

    on = standing(world.routed())
    leg = tracing.trace(asked(11, "10.0.2.11"), on, real)["legs"][0]
    assert leg["switch"] == {"verdict": "unasked", "text": "no answer to ofproto/trace"}
    assert leg["ends"][0]["what"] == "answered", "the walk is told all the same"


def test_what_cannot_be_sent_is_refused() -> None:
    on = standing(world.routed())
    with pytest.raises(NotFound):
        tracing.trace(asked(99, "10.0.1.12"), on, honest(on))
    with pytest.raises(Conflict, match="no working interface"):
        tracing.trace(asked(12, "10.0.1.11"), on, honest(on))
    bare = world.plugged(world.routed(), world.port(13, 1, 0x020000000113, ["10.0.1.13"]), 13)
    poor = standing(bare)
    with pytest.raises(Conflict, match="no IPv6 address"):
        tracing.trace(asked(13, "fd00:0:0:1::b"), poor, honest(poor))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[" * 9_000, '{"port": 1, "to": "10.0.0.1"}', '{"port": "p", "to": "x"}',
        '{"port": "p", "to": "10.0.0.1", "proto": "sctp"}', '{"port": "p", "to": "10.0.0.1", "dport": 65536}',
        '{"port": "p", "to": "10.0.0.1", "dport": -1}', '{"port": "p", "to": "10.0.0.1", "dport": true}',
    ],
)  # fmt: skip
def test_a_malformed_question_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        sending(text)
    with pytest.raises(Invalid):
        arrival(text)
    with pytest.raises(Invalid):
        listing.choice(text)


@pytest.mark.parametrize("packet", [{"eth_src": 1 << 48}, {"no_such": 1}, {"eth_type": "x"}, [], None])
def test_a_packet_of_another_world_is_refused(packet: Any) -> None:
    with pytest.raises(Invalid):
        arrival(json.dumps({"vtep": "192.0.2.2", "vni": 5, "packet": packet}))


def held(*flows: Flow) -> Dump:
    return parse(Encoder().rows(flows))


def choose(on: Ground, **wanted: Any) -> dict[str, Any]:
    """The answer of a switch with the compiled flows and a stranger."""
    flows = list(on.core.program.flows())
    stranger = replace(next(f for f in flows if f.shape.name == "classify-local"), cookie=0xA11E)
    tables = {
        number: [f for f in flows if f.shape.table == number] for number in {f.shape.table for f in flows}
    }
    tables[0] = [*(f for f in tables[0] if f.key() != stranger.key()), stranger]
    body = {"table": None, "port": 0, "network": 0, "tenant": 0, "limit": 2_000} | wanted
    return listing.flows(
        listing.choice(json.dumps(body)),
        names(on.core.effective),
        on.core.program.index.policed.judged,
        lambda: tuple(tables),
        lambda number: held(*tables[number]),
        lambda: 0.0,
    )


def test_flows_have_names_and_strangers_are_strangers() -> None:
    on = standing(world.routed())
    told = choose(on)
    assert len(told["flows"]) == len(on.core.program.claims) and told["left"] == told["unseen"] == 0
    (stranger,) = [flow for flow in told["flows"] if not flow["ours"]]
    assert stranger["owner"] == "not ours" and stranger["table"] == "classify"
    route = next(f for f in told["flows"] if f["table"] == "route" and "tun_dst" in f["actions"])
    assert "tun_dst:=192.0.2.2 (hv2)" in route["actions"] and "tun_id:=5001 (tenant t1)" in route["actions"]
    assert sum(count["strangers"] for count in told["counts"]) == 1


def test_flows_are_chosen_by_what_they_have_to_do_with() -> None:
    on = standing(world.routed())
    mine = choose(on, port=51)["flows"]
    assert mine and all("p51" in f["owner"] + f["match"] + f["actions"] for f in mine)
    two = choose(on, tenant=2)["flows"]
    assert two and not [f for f in two if "t1" in f["owner"] + f["match"] + f["actions"]]
    net = choose(on, network=4, table=40)["flows"]
    assert net and {f["table"] for f in net} == {"resolve"}


def test_an_answer_is_bounded_and_says_so() -> None:
    on = standing(world.routed())
    told = choose(on, limit=5)
    assert len(told["flows"]) == 5 and told["left"] == len(on.core.program.claims) - 5
    some = choose(on, tenant=1, limit=3)
    assert len(some["flows"]) == 3 and some["left"] > 0


def answering(look: Any) -> Questioning:
    return Questioning(lambda: None, HERE, look, print, Path("/nowhere"), "br-int")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("kind", "text", "rule"),
    [
        ("trace", "{", "malformed-question"),
        ("dance", "{}", "unknown-question"),
        ("flows", "{}", "malformed-question"),
    ],
)
def test_faults_are_answers(kind: str, text: str, rule: str) -> None:
    on = standing(world.routed())
    question = Question(Uid("q"), HERE, kind, text)
    assert json.loads(answering(lambda: on.core).answer(question))["faults"][0]["rule"] == rule


def test_a_defect_costs_one_answer() -> None:
    def look() -> Any:
        raise RuntimeError("x")

    question = Question(Uid("q"), HERE, "trace", json.dumps({"port": "p", "to": "10.0.0.1"}))
    (fault,) = json.loads(answering(look).answer(question))["faults"]
    assert fault["rule"] == "internal" and "agent on hv1" in fault["remedy"]


@pytest.mark.parametrize(("to", "alias"), [("169.254.169.253", "10.0.0.11"), ("fd00:ec2::253", "fd52:f1::b")])
def test_a_question_for_a_name_is_answered_on_the_host_or_by_nobody(to: str, alias: str) -> None:
    bare = world.routed()
    on = standing(world.served(bare))
    (*_, leg) = tracing.trace(asked(11, to, proto="udp", sport=40000, dport=53), on, honest(on))["legs"]
    (end,) = leg["ends"]
    assert tables(leg)[-2:] == ["served", "aliased"]
    assert (end["what"], end["text"]) == ("answered", f"ringfenced services on hv1 has it, from {alias}")
    (*_, leg) = tracing.trace(asked(11, to, proto="udp", sport=40000, dport=54), on, honest(on))["legs"]
    assert leg["ends"][0]["what"] == "dropped" and to in leg["ends"][0]["text"]
    on = standing(bare)
    (*_, leg) = tracing.trace(asked(11, to, proto="udp", sport=40000, dport=53), on, honest(on))["legs"]
    (end,) = leg["ends"]
    assert end["what"] == "dropped" and "nobody on this host answers" in end["text"]
    assert "Start ringfenced services" in end["remedy"]
