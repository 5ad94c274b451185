"""The relay between an agent and ExaBGP, over real sockets but without processes."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from bgp import interest, wire
from bgp.codec import attributes, communities, nlri, update
from bgp.interest import Interest
from bgp.speaker.link import Link
from bgp.speaker.relay import Relay
from bgp.speaker.ribs import Outgoing
from bgp.speaker.settings import parse
from bgp.speaker.silence import Silence
from model.ids import Vni
from model.route import Route
from tests.unit.bgp.world import ASN, BLUE_VNI, RED_VNI, THERE, V4, flood_route, key, mac_route

PEER = "10.0.0.9"
SETTINGS = ["--router-id", "10.0.0.1", "--local-address", "10.0.0.1", "--asn", str(ASN), "--peer", PEER]


class End:
    """One far end of the relay."""

    def __init__(self):
        near, self.far = socket.socketpair()
        for one in (near, self.far):
            one.setblocking(False)
        self.link = Link(near)

    def read(self):
        """Complete lines that the relay sent."""
        data = b""
        while self.link.out:
            self.link.send()
            data += self.drain()
        return (data + self.drain()).splitlines()

    def drain(self):
        data = b""
        while True:
            try:
                more = self.far.recv(1 << 16)
            except BlockingIOError:
                return data
            if not more:
                return data
            data += more


class Bench:
    def __init__(self, *flags):
        settings = parse([*SETTINGS, *flags])
        self.relay = Relay(settings, Outgoing(settings.max_routes))
        self.agent, self.engine = End(), End()

    def both(self):
        self.relay.engine_came(self.engine.link)
        self.relay.agent_came(self.agent.link)
        return self

    def say(self, **fields):
        self.relay.agent_said(wire.pack(**fields))

    def up(self):
        self.event("state", state="up")

    def event(self, kind, **fields):
        neighbor = {"address": {"peer": PEER}, **fields}
        self.relay.engine_said(json.dumps({"type": kind, "neighbor": neighbor}).encode())

    def update(self, body):
        line = {"type": "update", "peer": PEER, "raw": body.hex()}
        self.relay.engine_said(json.dumps(line).encode())

    def commands(self):
        self.relay.pump()
        return [line.decode() for line in self.engine.read()]

    def events(self):
        self.relay.pump()
        return [json.loads(line) for line in self.agent.read()]


def packed(route):
    raw = nlri.encode(route.nlri).hex()
    return [raw, route.attributes.next_hop.packed.hex(), attributes.encode(route.attributes).hex()]


ROUTE = mac_route("h1", THERE)
OTHER = flood_route("h1")


def test_an_agent_is_greeted_with_the_peers_and_what_they_said():
    bench = Bench()
    bench.relay.engine_came(bench.engine.link)
    bench.up()
    bench.update(update.encode(ROUTE))
    bench.update(update.end_of_rib())
    bench.relay.agent_came(bench.agent.link)
    bench.say(op="begin")
    hello, first, last, synced = bench.events()
    assert hello == {"ev": "hello", "version": wire.VERSION, "peers": {PEER: "up"}}
    assert update.decode(bytes.fromhex(first["raw"])).announced[0][1] == ROUTE
    assert update.decode(bytes.fromhex(last["raw"])).end_of_rib
    assert synced == {"ev": "synced"}


def test_live_events_are_passed_on():
    bench = Bench().both()
    bench.events()
    bench.up()
    bench.update(update.encode(ROUTE))
    bench.event("state", state="down", reason="hold timer")
    assert bench.events() == [
        {"ev": "peer", "peer": PEER, "state": "up", "reason": ""},
        {"ev": "update", "peer": PEER, "raw": update.encode(ROUTE).hex()},
        {"ev": "peer", "peer": PEER, "state": "down", "reason": "hold timer"},
    ]


def test_routes_reach_exabgp_before_end_of_rib_and_mark():
    bench = Bench().both()
    bench.up()
    bench.say(op="begin")
    bench.say(op="announce", id=7, routes=[packed(ROUTE), packed(OTHER)])
    bench.say(op="eor")
    raws = [nlri.encode(one.nlri).hex() for one in (ROUTE, OTHER)]
    commands = bench.commands()
    assert [line.split()[3] for line in commands[:2]] == raws
    assert commands[2:] == [f"eor evpn {PEER}", "mark evpn 7"]
    bench.events()
    bench.relay.engine_said(b'{"type": "mark", "word": "7"}')
    assert bench.events() == [{"ev": "ack", "id": 7}]
    assert bench.commands() == []


def test_end_of_rib_is_said_once_a_session_and_only_when_complete():
    bench = Bench().both()
    bench.up()
    assert bench.commands() == []
    bench.say(op="eor")
    assert bench.commands() == [f"eor evpn {PEER}"]
    bench.say(op="eor")
    assert bench.commands() == []
    bench.event("state", state="down")
    bench.up()
    assert bench.commands() == [f"eor evpn {PEER}"]


def test_a_new_exabgp_gets_everything_again():
    bench = Bench().both()
    bench.up()
    bench.say(op="announce", id=1, routes=[packed(ROUTE)])
    bench.say(op="eor")
    first = bench.commands()
    bench.events()
    bench.relay.engine_left("killed")
    assert bench.events() == [{"ev": "peer", "peer": PEER, "state": "down", "reason": "killed"}]
    bench.engine = End()
    bench.relay.engine_came(bench.engine.link)
    bench.up()
    assert bench.commands() == first


def test_routes_outlive_the_agent_until_its_successor_says_otherwise():
    bench = Bench().both()
    bench.up()
    bench.say(op="announce", id=1, routes=[packed(ROUTE), packed(OTHER)])
    bench.say(op="eor")
    bench.commands()
    bench.relay.agent_left("killed")
    assert bench.commands() == []
    bench.agent = End()
    bench.relay.agent_came(bench.agent.link)
    bench.say(op="begin")
    bench.say(op="announce", id=1, routes=[packed(OTHER)])
    assert bench.commands() == ["mark evpn 1"]  # the same route again is not sent again
    bench.say(op="eor")
    assert bench.commands() == [f"withdraw evpn {nlri.encode(ROUTE.nlri).hex()}"]


def test_only_the_last_of_many_changes_is_sent():
    bench = Bench().both()
    for number in range(1, 20):
        bench.say(op="announce", id=number, routes=[packed(mac_route("h1", THERE, sequence=number))])
        bench.say(op="withdraw", id=0, routes=[nlri.encode(ROUTE.nlri).hex()])
    bench.say(op="announce", id=20, routes=[packed(ROUTE)])
    commands = bench.commands()
    assert len(commands) == 2
    assert commands[1] == "mark evpn 20"


def test_replay_by_route_target():
    bench = Bench().both()
    bench.up()
    bench.update(update.encode(ROUTE))
    bench.events()
    bench.say(op="replay", targets=[communities.route_target(ASN, Vni(9)).hex()])
    assert bench.events() == [{"ev": "synced"}]
    bench.say(op="replay", targets=[communities.route_target(ASN, RED_VNI).hex()])
    assert [one["ev"] for one in bench.events()] == ["update", "synced"]
    bench.say(op="refresh")
    assert bench.commands() == ["refresh evpn"]


def test_a_replay_leaves_out_what_was_withdrawn_and_says_what_replaced():
    bench = Bench()
    bench.relay.engine_came(bench.engine.link)
    bench.up()
    newer = mac_route("h1", THERE, V4, sequence=5)
    for one in (ROUTE, OTHER, mac_route("h1", THERE, V4)):
        bench.update(update.encode(one))
    bench.update(update.join(update.Parts(unreach=(nlri.encode(ROUTE.nlri),))))
    bench.update(update.encode(newer))
    bench.relay.agent_came(bench.agent.link)
    bench.say(op="begin")
    told = [update.decode(bytes.fromhex(one["raw"])) for one in bench.events() if one["ev"] == "update"]
    assert {route for one in told for _, route in one.announced} == {OTHER, newer}


def test_many_routes_are_replayed_in_few_messages_and_as_the_agent_reads():
    bench = Bench()
    bench.relay.engine_came(bench.engine.link)
    bench.up()
    for number in range(1000):
        bench.update(update.encode(mac_route("h1", number)))
    bench.relay.agent_came(bench.agent.link)
    bench.say(op="begin")
    events = bench.events()
    told = [update.decode(bytes.fromhex(one["raw"])) for one in events if one["ev"] == "update"]
    assert sum(len(one.announced) for one in told) == 1000
    assert len(told) == 25
    assert all(len(one["raw"]) // 2 + 19 <= 4096 for one in events if one["ev"] == "update")


class Wanting:
    """A relay whose agent wants red routes only; `heard`: what it was told of late."""

    def __init__(self, *flags):
        self.bench = Bench(*flags).both()
        self.bench.up()
        self.want(RED_VNI)
        self.heard()

    def want(self, *vnis):
        targets = frozenset(communities.route_target(ASN, vni) for vni in vnis)
        labels = frozenset(vni.to_bytes(3, "big") for vni in vnis)
        self.bench.say(op="want", want=interest.pack(Interest(targets, labels)))

    def heard(self):
        told = [
            update.decode(bytes.fromhex(one["raw"])) for one in self.bench.events() if one["ev"] == "update"
        ]
        return (
            {route for one in told for _, route in one.announced},
            {key for one in told for key in one.withdrawn},
        )

    def say(self, *routes):
        for route in routes:
            self.bench.update(update.encode(route))

    def withdraw(self, *routes):
        gone = tuple(nlri.encode(route.nlri) for route in routes)
        self.bench.update(update.join(update.Parts(unreach=gone)))


def blue(route):
    """The same key with another network's VNI and route target."""
    said = replace(route.attributes, route_targets=(communities.route_target(ASN, BLUE_VNI),))
    return Route(replace(route.nlri, vni=BLUE_VNI), said)


def test_only_what_concerns_the_agent_is_told():
    relay = Wanting()
    red, other = mac_route("h2", 1), blue(mac_route("h2", 2))
    mislabelled = replace(mac_route("h2", 3), attributes=other.attributes)  # an attack, or a mistake: seen
    relay.say(red, other, mislabelled, flood_route("h2"))
    assert relay.heard() == ({red, mislabelled, flood_route("h2")}, set())
    relay.withdraw(other)
    assert relay.heard() == (set(), set())
    relay.withdraw(red, mislabelled, other)
    assert relay.heard() == (set(), {key(red), key(mislabelled)})
    relay.bench.update(update.end_of_rib())
    assert [one["ev"] for one in relay.bench.events()] == ["update"]


def test_a_route_that_ceases_to_concern_the_agent_is_withdrawn_there():
    relay = Wanting()
    red = mac_route("h2", 1)
    relay.say(red)
    relay.heard()
    relay.say(blue(red))
    assert relay.heard() == (set(), {key(red)})
    relay.say(blue(red))
    assert relay.heard() == (set(), set())
    relay.say(red)
    assert relay.heard() == ({red}, set())


def test_what_did_not_concern_the_agent_is_there_when_it_does():
    relay = Wanting()
    other = blue(mac_route("h2", 2))
    relay.say(other, mac_route("h2", 1))
    relay.heard()
    relay.want(RED_VNI, BLUE_VNI)
    assert relay.heard() == (set(), set())
    relay.bench.say(op="replay", targets=[communities.route_target(ASN, BLUE_VNI).hex()])
    assert relay.heard() == ({other}, set())
    relay.withdraw(other)
    assert relay.heard() == (set(), {key(other)})
    relay.want(BLUE_VNI)
    relay.bench.say(op="replay")
    assert relay.heard() == (set(), set())  # of red nothing any longer


def test_a_broken_update_takes_its_routes_from_the_agent_too():
    relay = Wanting()
    red = mac_route("h2", 1)
    relay.say(red)
    relay.heard()
    whole = update.split(update.encode(red))
    reach = update.join(update.Parts(whole.reach, whole.next_hop))[4:]
    fields = reach + whole.rest[:-1]
    relay.bench.update(bytes(2) + len(fields).to_bytes(2, "big") + fields)
    assert relay.heard() == (set(), {key(red)})
    relay.bench.say(op="replay")
    assert relay.heard() == (set(), set())


def test_what_finds_no_room_is_not_told():
    relay = Wanting("--max-routes", "1")
    relay.say(mac_route("h2", 1), mac_route("h2", 2))
    assert relay.heard() == ({mac_route("h2", 1)}, set())


@pytest.mark.parametrize("want", ["x", {}, {"targets": [], "vnis": "x"}, {"targets": ["00"], "vnis": []}])
def test_an_interest_that_is_none_ends_the_agent(want):
    with pytest.raises(wire.Broken):
        Bench().both().say(op="want", want=want)


def test_both_memories_are_bounded():
    bench = Bench("--max-routes", "2").both()
    bench.up()
    bench.events()
    routes = [packed(mac_route("h1", number)) for number in range(3)]
    bench.say(op="announce", id=1, routes=routes)
    assert [one["ev"] for one in bench.events()] == ["error"]
    assert len(bench.relay.outgoing.routes) == 2
    for number in range(5):
        bench.update(update.encode(mac_route("h2", number)))
    assert len(bench.relay.incoming[PEER].routes) == 2
    assert bench.relay.incoming[PEER].over == 3


def test_an_update_that_cannot_be_read_is_passed_on_and_not_kept():
    bench = Bench().both()
    bench.up()
    bench.events()
    bench.update(bytes.fromhex("0000000440010500"))
    assert [one["ev"] for one in bench.events()] == ["update"]
    assert not bench.relay.incoming[PEER].routes


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"op": "dance"}',
        b'{"op": "announce"}',
        b'{"op": "announce", "routes": [["0201ff", "c0000201", ""]]}',
        b'{"op": "announce", "routes": [["zz", "c0000201", ""]]}',
        b'{"op": "announce", "routes": [["0300", "c0", ""]]}',
        b'{"op": "withdraw", "routes": ["0201ff"]}',
        b'{"op": "withdraw", "routes": [1]}',
        b'{"op": "withdraw", "routes": [], "id": 1e999}',
        b'{"op": "announce", "routes": [], "id": "x"}',
    ],
)
def test_an_agent_that_does_not_speak_the_protocol_is_broken(line):
    bench = Bench().both()
    with pytest.raises(wire.Broken):
        bench.relay.agent_said(line)
    assert not bench.relay.outgoing.routes


def test_lines_are_cut_and_bounded():
    lines = wire.Lines()
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"o\n\nthree\n") == [b"two", b"three"]
    with pytest.raises(wire.Broken):
        lines.feed(b"x" * (wire.LINE + 1))


def test_replays_that_nobody_reads_become_one():
    bench = Bench().both()
    bench.up()
    bench.events()
    bench.update(update.encode(ROUTE))
    bench.events()
    for _ in range(1000):
        bench.say(op="replay", targets=[])
    assert len(bench.relay.replays) <= 16
    assert [one for one in bench.events() if one["ev"] == "update"]


def test_why_a_peer_has_no_session_is_told_once_and_to_each_new_agent():
    bench = Bench().both()
    bench.events()
    assert bench.relay.lacking == (PEER,)
    for _ in range(2):
        bench.relay.look({PEER: Silence.SYN})
    (told,) = bench.events()
    assert (told["peer"], told["state"]) == (PEER, "down")
    assert "MD5 password" in told["reason"]
    bench.relay.agent_came(bench.agent.link)
    assert bench.events()[:2] == [
        {"ev": "hello", "version": wire.VERSION, "peers": {PEER: "down"}},
        told,
    ]
    bench.up()
    bench.relay.look({})
    assert bench.relay.lacking == ()
    assert [e["state"] for e in bench.events() if e["ev"] == "peer"] == ["up"]


def test_what_exabgp_says_of_a_peer_that_never_came_up_is_told():
    bench = Bench().both()
    bench.events()
    bench.event("state", state="down", reason="bad peer AS")
    bench.relay.look({})
    assert [e["reason"] for e in bench.events()] == ["bad peer AS"]


def test_a_peer_of_which_nothing_is_seen_refuses():
    bench = Bench().both()
    bench.events()
    bench.relay.look({})
    (told,) = bench.events()
    assert "refused" in told["reason"]
