"""Security policy with real packets: who may open a connection to whom, and what becomes of those that are.

Two hypervisors, two tenants with the same addresses; who is there, `guarded` says. A verdict is what arrived:
captures at the target, which have seen controls of the same sender before and after.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tests.integration.product.bill import all_settled
from tests.integration.product.clients import nc, refused
from tests.integration.product.extra import network
from tests.integration.product.guarded import (
    RED,
    Guarded,
    Talk,
    build,
    labelled,
    named,
    operator,
    policy,
    ports,
    rule,
)
from tests.integration.product.test_isolation import in_sync
from tests.integration.product.verdicts import CONTROL, What, icmp, pings, probes, tcp, udp, wrong
from topologies import faults
from topologies.deadline import until
from topologies.scenarios.two_tenants import NETWORK, SUBNETS, TwoTenants, Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream, count_udp

pytestmark = pytest.mark.integration

DENY = {"in": "deny", "out": "deny"}
EVERYWHERE = ("near", "there", "side", "far")
"""On the same host and the other one, in the same network and another."""
EXPERIMENT = 253
"""A protocol for experiments (RFC 3692)."""


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Guarded:
    return build(two_tenants_lab(2))


def everything(here: Workload, there: list[Workload]) -> list:
    return [*probes(here, there, tcp(80), udp(53), What(EXPERIMENT)), *pings(here, there)]


def test_denied_by_default_nothing_comes_or_goes(stage: Guarded) -> None:
    here, others = stage["here"], stage.of(*EVERYWHERE)
    assert wrong(everything(here, others)) == [], "without a policy"
    with stage.policed(policy("closed", named("here"), defaults=DENY)):
        drops = everything(here, others) + [p for other in others for p in everything(other, [here])]
        passes = everything(stage["near"], stage.of("there", "side")) + everything(stage["far"], others[:1])
        assert wrong(passes, drops) == []
        for gateway in ("10.0.0.1", "fd00:10::1"):
            until("the gateway answers whatever the policy",
                  lambda address=gateway: ping(here.vm, address, 1).reached, 10)  # fmt: skip
    assert wrong(everything(here, others)) == [], "once it is gone"


IN_RULES = (
    rule("in", "allow", [labelled(role="web")], *ports("tcp", 80, "8000-8099")),
    rule("in", "allow", [{"networks": {"matchLabels": {"zone": "outer"}}}], *ports("udp", "5000-5010")),
    rule("in", "allow", [{"cidr": "10.0.0.0/24", "except": ["10.0.0.21/32"]},
                         {"cidr": "fd00:10::/64", "except": ["fd00:10::21/128"]}], *ports("tcp", 443)),
    rule("in", "allow", [labelled(role="db")], {"protocol": "icmp", "type": 8},
         {"protocol": "icmpv6", "type": 128}),
    rule("in", "allow", [named("far")], {"protocol": EXPERIMENT}),
)  # fmt: skip


def verdicts(ways: list[tuple[Workload, Workload]]) -> tuple[list, list]:
    """What of IN_RULES passes and drops, on the ways to or from (or both) near, there, side and far."""
    near, there, side, far = ways
    passes, drops = [], []
    for (here, target), web, outer, inside, alien in (
        (near, True, False, False, False),
        (there, False, False, True, False),
        (side, False, True, False, False),
        (far, True, True, False, True),
    ):
        for allowed, *what in (
            (web, tcp(80), tcp(8000), tcp(8063), tcp(8099)),
            (outer, udp(5000), udp(5007), udp(5010, 3000)),
            (inside, tcp(443)),
            (alien, What(EXPERIMENT)),
            (False, tcp(79), tcp(7999), tcp(8100), udp(80), udp(4999), udp(5011), udp(5011, 3000), udp(443),
             What(EXPERIMENT + 1)),
        ):  # fmt: skip
            (passes if allowed else drops).extend(probes(here, target, *what))
        (drops if web else passes).extend(pings(here, target))
        drops += probes(here, target, icmp(13), families=(4,))
    return passes, drops


def test_rules_of_whom_comes_in(stage: Guarded) -> None:
    """By labels of ports and of networks, by prefixes with exceptions, ranges of ports, types of ICMP."""
    here = stage["here"]
    with stage.policed(policy("in", named("here"), IN_RULES, defaults={"in": "deny"})):
        passes, drops = verdicts([(other, here) for other in stage.of(*EVERYWHERE)])
        assert wrong(passes + everything(here, stage.of(*EVERYWHERE)), drops) == []


def test_rules_of_what_goes_out(stage: Guarded) -> None:
    """The same, from the other side."""
    here = stage["here"]
    mirrored = [{**one, "direction": "out", "to": one["from"]} for one in IN_RULES]
    for one in mirrored:
        del one["from"]
    with stage.policed(policy("out", named("here"), mirrored, defaults={"out": "deny"})):
        passes, drops = verdicts([(here, other) for other in stage.of(*EVERYWHERE)])
        back = [p for other in stage.of(*EVERYWHERE) for p in everything(other, [here])]
        assert wrong(passes + back, drops) == []


def test_tiers_judge_in_turn_and_pass_on(stage: Guarded) -> None:
    here, senders = stage["here"], stage.of("near", "far")
    mine = {"tenants": {"matchLabels": {"ringfence/name": "red"}}, **named("here")}
    said = (
        operator("first", "operator", mine, [
            rule("in", "deny", (), *ports("tcp", 22)), rule("in", "pass", (), *ports("tcp", "20-29")),
            rule("in", "allow", (), *ports("tcp", "30-39"))]),
        policy("then", named("here"), [
            rule("in", "allow", (), *ports("tcp", "22-23")), rule("in", "deny", (), *ports("tcp", "24-35")),
            rule("in", "pass", (), *ports("tcp", "36-49"))], order=5),
        policy("earlier", named("here"), [rule("in", "deny", (), *ports("tcp", 23))], order=4),
        operator("last", "baseline", mine, [
            rule("in", "deny", (), *ports("tcp", "21-45"))], defaults={"in": "allow"}),
    )  # fmt: skip
    with stage.policed(*said):
        passes = [p for s in senders for p in probes(s, here, tcp(20), *map(tcp, range(30, 40)), tcp(46))]
        drops = [p for s in senders for p in probes(s, here, *map(tcp, (21, 22, 23, 24, 29, 40, 45)))]
        assert wrong(passes, drops) == []


def test_a_trace_names_the_rule_that_decides_and_the_switches_agree(stage: Guarded) -> None:
    """The same rules at both ends: what one knows of a connection is nothing to the other."""
    there, here = stage.of("there", "here")

    def told(to: str, dport: str) -> dict[str, Any]:
        run = stage.base.control.run(*asked, "--to", to, "--dport", dport)
        assert run.stdout, run.stderr
        return json.loads(run.stdout)

    own = [{"ports": {}}]
    said = policy("all", None, [rule("in", "deny", own, *ports("tcp", 22)), rule("in", "allow", own),
                              rule("out", "allow", own)], defaults=DENY)  # fmt: skip
    asked = ("trace", "--from", f"{there.tenant}/{there.port}", "--proto", "tcp", "-o", "json")
    with stage.policed(said):
        for to in (str(address) for address in here.addresses):
            passes, drops = told(to, "80"), told(to, "22")
            assert (passes["verdict"], passes["switch"]) == ("delivered", "agrees"), passes
            assert (drops["verdict"], drops["switch"]) == ("dropped", "agrees"), drops
            assert "policy denies it: rule 3 of red/all" in drops["ends"][-1]["text"], drops
            assert drops["legs"][-1]["host"] == here.host


def test_both_ends_must_allow(stage: Guarded) -> None:
    here, others = stage["here"], stage.of(*EVERYWHERE)
    said = (
        policy("sends", named("here"), [rule("out", "allow", (), *ports("tcp", "1000-1009")),
                                        rule("out", "allow", (), *ports("udp", "7-8"))], defaults=DENY),
        policy("gets", named(*EVERYWHERE), [rule("in", "allow", [named("here")], *ports("tcp", "1005-1014")),
                                            rule("in", "allow", [named("side")], *ports("udp", 7)),
                                            rule("in", "allow", [named("here")], *ports("udp", 8))],
               defaults=DENY),
    )  # fmt: skip
    with stage.policed(*said):
        passes = probes(here, others, tcp(1005), tcp(1009))
        drops = probes(here, others, tcp(1000), tcp(1004), tcp(1010), tcp(1014), udp(7))
        assert wrong(passes, drops) == []
        for other in others:
            for address in other.addresses:  # with all that a connection needs besides its first packet
                assert transfer(here.vm, other.vm, address, 100_000, port=1007).intact
                assert refused(here, address, 8), "an error of what is allowed finds its way back"


def test_an_address_is_meant_where_it_is_and_no_tenant_reaches_another(stage: Guarded) -> None:
    """Networks that are not routed; the same addresses at another tenant, on the same hosts; a peering."""
    friend, apart, shared = stage["friend"], stage["apart"], stage["shared"]
    blue = policy("open", None, [rule("in", "allow"), rule("out", "allow")], "blue", order=-5)
    said = (
        policy("apart", named("apart"), [rule("in", "allow", [labelled(role="web")], *ports("tcp", 80)),
                                         rule("in", "deny")]),
        policy("open", None, [rule(way, "allow") for way in ("in", "out")], order=5),
        policy("peer", named("peered", "close"), [
            rule("in", "allow", [{"ports": {}}], *ports("tcp", 1)),
            rule("in", "allow", [{"cidr": c} for c in RED], *ports("tcp", 2)),
        ], "blue", defaults=DENY, order=-9),
        operator("tenants", "operator", {"tenants": {}, **named("peered", "close")}, [
            rule("in", "allow", [{"tenants": {"matchLabels": {"ringfence/name": "red"}}}], *ports("tcp", 3)),
            rule("in", "deny", [{"tenants": {"matchLabels": {"ringfence/name": "red"}}}], *ports("tcp", 4)),
        ]),
    )  # fmt: skip
    with stage.policed(*said):
        across = stage.of("close", "peered")
        passes = [*probes(friend, apart, tcp(80)), *probes(shared, across, tcp(2), tcp(3))]
        drops = [*probes(friend, apart, tcp(81)), *probes(shared, across, tcp(1), tcp(4))]
        assert wrong(passes, drops) == []
    with stage.policed(said[1], blue):
        # blue's hosts hear their own; what red says to these addresses is red's own matter
        for mine, theirs, friend in (("here", "blue2", "blue1"), ("there", "blue1", "blue2")):
            alien = probes(stage[mine], stage[theirs], udp(5), tcp(5))
            assert wrong(drops=alien, control=stage[friend]) == []


def test_who_may_not_send_to_an_address_can_not_send_to_its_mac(stage: Guarded) -> None:
    """Frames for the MACs of two whom the rules forbid, with addresses that they allow: of a friend, and of
    nobody here. Without the rules they arrive, and so they do while the rules only count."""
    here, near, there, side = stage.of("here", "near", "there", "side")
    goals = [(to, far) for to in (near, there) for far in (side.ipv4, side.ipv6, "8.8.8.8", "2001:db8::8")]

    def said(state: str) -> dict:
        deny = rule("out", "deny", [named("near", "there")], state=state)
        return policy("astray", named("here"), [deny])

    def arrive() -> list[bool]:
        return [arrives(here, to, far) for to, far in goals]

    assert all(arrive()), "without a policy"
    with stage.policed(said("count")):
        assert all(arrive()), "what counts drops nothing"
        stage.apply(said("enforce"))
        drops = [p for other in (near, there) for p in everything(here, [other])]
        passes = [*everything(here, [side]), *probes(near, here, tcp(80))]
        assert wrong(passes, drops) == [] and not any(arrive())
    assert all(arrive()), "once it is gone"


def arrives(here: Workload, to: Workload, far: str) -> bool:
    """Whether a packet for one address comes out at the MAC of another, between controls that do."""
    mark, sign = os.urandom(16), os.urandom(16)
    layer = IPv6(src=here.ipv6, dst=far) if ":" in far else IP(src=here.ipv4, dst=far)
    frame = Ether(src=here.mac, dst=to.mac) / layer / UDP(sport=4000, dport=4001) / mark
    control = beacon(here.vm, to.addresses[":" in far], sign, CONTROL), incoming(contains(sign))
    with Capture(to.vm) as capture:
        capture.confirm(*control)
        for _ in range(2):  # the data path may have to ask about the first, and have it overtaken
            inject(here.vm, "eth0", [frame] * 3)
            capture.confirm(*control)
        return bool(capture.leaks(incoming(contains(mark))))


@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.long)])
def test_group_frames_are_judged_at_each_port_that_gets_them(stage: Guarded, family: int) -> None:
    here, near, there = stage.of("here", "near", "there")
    wide = network("red", NETWORK, SUBNETS)
    wide["spec"]["replicate"] = True
    said = policy(
        "group", named("near", "there"), [rule("in", "allow", (), *ports("udp", 7001))], defaults=DENY
    )
    stage.apply(wide)
    try:
        with stage.policed(said), Capture(near.vm) as first, Capture(there.vm) as second:
            captures = ((first, near), (second, there))
            control = [(c, beacon(here.vm, w.addresses[family // 6], b"control-of-group", CONTROL))
                       for c, w in captures]  # fmt: skip
            for capture, send in control:
                capture.confirm(send, incoming(contains(b"control-of-group")))
            marks = {number: os.urandom(16) for number in (7000, 7001)}
            inject(here.vm, "eth0", [group(here, family, number, mark) for number, mark in marks.items()])
            for capture, _ in captures:
                capture.await_frame(incoming(contains(marks[7001])), 10)
            for capture, send in control:
                capture.confirm(send, incoming(contains(b"control-of-group")))
                assert not capture.leaks(incoming(contains(marks[7000])))
    finally:
        wide["spec"]["replicate"] = False
        stage.apply(wide)


def group(here: Workload, family: int, number: int, mark: bytes) -> Ether:
    body = UDP(sport=number, dport=number) / mark
    if family == 4:
        return Ether(src=here.mac, dst="ff:ff:ff:ff:ff:ff") / IP(src=here.ipv4, dst="10.0.0.255") / body
    return Ether(src=here.mac, dst="33:33:00:00:00:01") / IPv6(src=here.ipv6, dst="ff02::1") / body


ENDS = {"opener": ("here", "out"), "target": ("{there}", "in")}


@pytest.mark.parametrize(
    ("place", "end"),
    [
        pytest.param("near", "opener", marks=pytest.mark.long),
        pytest.param("near", "target", marks=pytest.mark.long),
        pytest.param("far", "opener", marks=pytest.mark.long),
        ("far", "target"),
    ],
)
def test_a_change_ends_what_it_denies_and_keeps_the_rest(stage: Guarded, place: str, end: str) -> None:
    """At either end, in both directions, replies too; and what is kept stays until it ends by itself."""
    here, there = stage["here"], stage[place]
    who, way = ENDS[end]
    subject = named(who.format(there=place))

    def said(*numbers: int, **more: str) -> dict:
        allowed = [rule(way, "allow", (), *ports("udp", *numbers))] if numbers else []
        return policy("talk", subject, allowed, defaults={way: "deny"}, **more)

    with stage.policed(said(6001, 6002)):
        with (Talk(here, there, 4, 6001) as four, Talk(here, there, 6, 6001) as six,
              Talk(here, there, 4, 6002) as other):  # fmt: skip
            assert four.flows() and six.flows() and other.flows()
            stage.apply(said(6002))
            assert [*four.silent(), *six.silent()] == []
            assert other.flows(), "what is still allowed goes on"
            stage.apply(said(6001, 6002))
            assert four.flows() and six.flows(), "allowed again"
            stage.apply(said(6001, 6002, onChange="keep"))
            assert four.flows() and six.flows() and other.flows()
            stage.apply(said(onChange="keep"))
            assert four.flows() and six.flows() and other.flows(), "they may stay"
            assert wrong(drops=probes(here, there, udp(6001), udp(6002))) == [], "new ones may not come"
            stage.apply(said())
            assert [*four.silent(), *six.silent(), *other.silent()] == []


@pytest.mark.long
@pytest.mark.datapaths
def test_nothing_is_lost_by_changes_that_allow_and_by_the_agents_restart(stage: Guarded) -> None:
    """Nor when a policy comes and goes, and the zone in which it remembered connections drains."""
    here, there = stage["here"], stage["there"]
    agent = stage.base.control.agents[here.host]

    def said(*numbers: int) -> dict:
        return policy("stream", named("here", "there"),
                      [rule(way, "allow", (), *ports("udp", 9999, *numbers)) for way in ("in", "out")],
                      defaults=DENY)  # fmt: skip

    plain = matches(stage, here)
    with UdpStream(here.vm, there.vm, there.ipv4, rate=1000) as stream:
        until("it flows", lambda: stream.received > 50, 20)
        with stage.policed(said()):
            stage.apply(said(1))
            stage.apply(said(1, 2))
            flows = matches(stage, here)
            agent.kill()
            agent.start()
            until("in sync again", lambda: in_sync(stage.base), 30)
            assert matches(stage, here) == flows
            stage.apply(said(2))
            assert wrong(probes(here, there, udp(2)), probes(here, there, udp(1))) == []
        until("nothing is kept of it", lambda: matches(stage, here) == plain, 20)
        result = stream.stop()
    assert result.sent > 500 and result.lost == 0, result


def matches(stage: Guarded, who: Workload) -> set[str]:
    """The flows of a host, without what they counted."""
    host = stage.host(who)
    lines = host.ofctl("--no-stats", "dump-flows", host.management).splitlines()
    return {line for line in lines if "cookie=" in line}


@pytest.mark.parametrize("where", ["here", pytest.param("there", marks=pytest.mark.long)])
def test_a_switch_that_is_killed_is_as_strict_as_before(stage: Guarded, where: str) -> None:
    here, there = stage["here"], stage["there"]
    host = stage.host(stage[where])
    said = policy("strict", named("there"), [rule("in", "allow", (), *ports("tcp", 80))], defaults=DENY)
    with stage.policed(said):
        before = matches(stage, stage[where])
        faults.kill_switch(host)
        with Capture(there.vm) as capture:
            faults.revive_switch(host)
            mark, sign = os.urandom(16), os.urandom(16)
            denied = beacon(here.vm, there.ipv4, mark, 81)
            control = beacon(here.vm, there.ipv4, sign, CONTROL)

            def passes() -> bool:
                denied()
                control()
                return bool(capture.matching(incoming(contains(sign))))  # of this round, or of one before

            until("controls pass again", passes, 40)
            capture.confirm(control, incoming(contains(sign)))
            denied()
            capture.confirm(control, incoming(contains(sign)))
            assert not capture.leaks(incoming(contains(mark)))
        until("the same flows", lambda: matches(stage, stage[where]) == before, 20)
        stage.settle()
        assert wrong(probes(here, there, tcp(80)), probes(here, there, tcp(81), udp(81))) == []


def test_what_counts_drops_nothing(stage: Guarded) -> None:
    here, others = stage["here"], stage.of("near", "far")
    counts = {"action": "deny", "state": "count"}
    with stage.policed(policy("counts", named("here"), [
        rule("in", "deny", (), *ports("tcp", 80), state="count"), rule("in", "deny", (), *ports("tcp", 81)),
    ], defaults={"in": counts, "out": counts})):  # fmt: skip
        into = [
            p
            for other in others
            for p in [*probes(other, here, tcp(80), udp(80), udp(82, 3000)), *pings(other, here)]
        ]
        drops = [p for other in others for p in probes(other, here, tcp(81))]
        assert wrong(into + everything(here, others), drops) == []


@pytest.mark.long
@pytest.mark.datapaths
def test_who_is_denied_at_leaving_pays_nothing(stage: Guarded) -> None:
    """And what the other end drops has been sent."""
    here, near, there = stage.of("here", "near", "there")
    said = (
        policy("leaving", named("here"), [rule("out", "deny", (), *ports("udp", 7002))]),
        policy("entering", named("near", "there"), [rule("in", "deny", (), *ports("udp", 7003))]),
    )
    with stage.policed(*said):
        (before,) = all_settled(stage.base, (here,))
        paid = 0
        for target in (near, there):
            for address in target.addresses:
                for number, arrives, pays in ((7001, 40, 1), (7002, 0, 0), (7003, 0, 1)):
                    result = count_udp(here.vm, target.vm, address, 40, 200, 400, number)
                    assert result.received == arrives, (target.name, number)
                    paid += pays * result.layer3_bytes
        (after,) = all_settled(stage.base, (here,))
        assert after - before == paid


@pytest.mark.long
@pytest.mark.datapaths
def test_real_programs_connect_only_where_they_may(stage: Guarded) -> None:
    """nc and iperf3, over both families, with a change under way."""
    here, there = stage["here"], stage["far"]
    with stage.policed(policy("programs", named("here", "far"),
                              [rule("out", "allow", [named("far")], *ports("tcp", 5201, 5301)),
                               rule("in", "allow", [named("here")], *ports("tcp", "5201-5302"))],
                              defaults=DENY)):  # fmt: skip
        for address in there.addresses:
            for number, works in ((5301, True), (5302, False)):
                assert nc(here, there, address, number) is works, (address, number)
            there.vm.run("iperf3 --server --one-off --daemon --port 5201")
            words = f"iperf3 --client {address} --port 5201 --bytes 2M --json"
            until("iperf3 ends well", lambda words=words: here.vm.attempt(words, 30.0).ok, 30)
        assert not nc(there, here, here.ipv4, 5301), "nobody may call back"
