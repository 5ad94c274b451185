"""Two speakers of ours, a FRR route reflector and GoBGP as an oracle: real daemons, real sessions.

h1 peers over IPv4 with an MD5 password, h2 over IPv6. The tests share one fabric and run in order; each
leaves both hosts announcing `routes(host)`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from bgp.client import Acknowledged, Attached, Client, Detached, PeerDown, PeerUp, Received, Synced
from bgp.codec import communities, nlri, update
from model.addresses import format_mac, router_mac
from model.ids import Mac, Vni
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, PrefixRoute, Route
from tests.integration.evpn.lab import ASN, Lab, wait

pytestmark = pytest.mark.integration

VNI, L3VNI = Vni(10100), Vni(10901)
ROGUE = Path(__file__).with_name("rogue.py")


class Agent:
    """A client with all that it heard, and what its peers stand by."""

    def __init__(self, path):
        self.path = path
        self.events = []
        self.lock = threading.Lock()
        self.client = Client(str(path), self.hear)
        self.client.start()

    def hear(self, event):
        with self.lock:
            self.events.append(event)

    def seen(self, kind, since=0):
        with self.lock:
            return [event for event in self.events[since:] if isinstance(event, kind)]

    def routes(self, since=0):
        """Routes by key after all events since one."""
        made = {}
        with self.lock:
            events = self.events[since:]
        for event in events:
            if isinstance(event, PeerDown | Detached):
                made.clear()
            elif isinstance(event, Received):
                for key in event.read().withdrawn:
                    made.pop(key, None)
                made.update((key, as_said(route)) for key, route in event.read().announced)
        return made

    def mark(self):
        with self.lock:
            return len(self.events)


def as_said(route):
    """Less what a reflector adds (RFC 4456 section 8); FRR's also adds a MED of 0."""
    return replace(route, attributes=replace(route.attributes, originator=None, clusters=(), med=None))


def key(route):
    return nlri.key(nlri.encode(route.nlri))


class Fabric:
    def __init__(self, lab):
        self.lab = lab
        self.agents = {}

    def routes(self, host):
        """What a host announces: RT-2 of all forms, RT-3, and one with an IPv6 next hop."""
        number = self.lab.names[host]
        vtep, vtep6 = ip_address(self.lab.address(host)), ip_address(self.lab.address6(host))
        rd = nlri.distinguisher(Distinguisher(int(vtep), 7))
        hung = Attributes(vtep, (communities.route_target(ASN, VNI),), encapsulations=(communities.VXLAN,))
        moved = replace(hung, sequence=3)
        flood = replace(hung, pmsi_vni=VNI, pmsi_endpoint=vtep)
        prefix = replace(
            hung,
            route_targets=(communities.route_target(ASN, L3VNI),),
            router_mac=router_mac(int(vtep)),
            local_preference=200,
        )
        mac = Mac(0x020000000000 + number * 256)
        return (
            Route(MacRoute(rd, mac, None, VNI), hung),
            Route(MacRoute(rd, mac, ip_address(f"10.0.0.{number}"), VNI), hung),
            Route(MacRoute(rd, mac, ip_address(f"fd00::{number}"), VNI), hung),
            Route(MacRoute(rd, Mac(mac + 1), None, VNI), moved),
            Route(MacRoute(rd, Mac(mac + 2), None, VNI), replace(hung, next_hop=vtep6)),
            Route(MulticastRoute(rd, vtep), flood),
            *(
                Route(PrefixRoute(rd, ip_network(p), L3VNI), prefix)
                for p in (f"172.16.{number}.0/24", "::/0")
            ),
        )

    def agent(self, host):
        self.agents[host] = Agent(self.lab.directory / f"{host}.sock")
        return self.agents[host]

    def say_all(self, host):
        self.agents[host].client.announce(self.routes(host))
        self.agents[host].client.eor()

    def reached(self, host, since=0):
        """Wait until a host knows all that the other announces, exactly."""
        other = "h2" if host == "h1" else "h1"
        wanted = {key(route): route for route in self.routes(other)}

        def same():
            got = self.agents[host].routes(since)
            return all(got.get(one) == route for one, route in wanted.items())

        wait(same, f"{host} to know the routes of {other}")

    def sessions(self):
        peers = self.lab.vtysh("rr", "show bgp l2vpn evpn summary json")["peers"]
        return {
            name: peer["connectionsEstablished"]
            for name, peer in peers.items()
            if peer["state"] == "Established"
        }


@pytest.fixture(scope="module")
def fabric():
    for tool in ("ip", "setpriv", "gobgpd", "gobgp", "vtysh"):
        assert shutil.which(tool), f"{tool} is missing: install it"
    lab = Lab.open()
    made = Fabric(lab)
    try:
        for name in ("rr", "h1", "h2", "gb", "bad"):
            lab.node(name)
        password = lab.directory / "md5"
        password.write_text("s3cret;{here}'\n")
        clients = (lab.address("h1"), lab.address6("h2"), lab.address("gb"))
        quoted = password.read_text().strip()
        lab.frr("rr", clients, f" neighbor {lab.address('h1')} password {quoted}")
        lab.gobgp("gb", "rr")
        lab.speaker("h1", lab.address("h1"), [lab.address("rr")], "--md5-file", str(password))
        lab.speaker("h2", lab.address6("h2"), [lab.address6("rr")])
        for host in ("h1", "h2"):
            made.agent(host)
            made.say_all(host)
        yield made
    finally:
        for agent in made.agents.values():
            agent.client.stop()
        lab.close()


def test_the_hosts_learn_each_other_exactly(fabric):
    lab = fabric.lab
    for host, other in (("h1", "h2"), ("h2", "h1")):
        fabric.reached(host)
        heard = [r for e in fabric.agents[host].seen(Received) for _, r in e.read().announced]
        from_other = {r.attributes.originator: r.attributes.clusters for r in heard}
        assert from_other[int(ip_address(lab.address(other)))] == (int(ip_address(lab.address("rr"))),)
        wait(
            lambda host=host: any(e.read().end_of_rib for e in fabric.agents[host].seen(Received)),
            "End-of-RIB",
        )
        assert not [fault for e in fabric.agents[host].seen(Received) for fault in e.read().faults]


def test_gobgp_reads_the_same_labels_and_tunnels(fabric):
    vtep = fabric.lab.address("h1")

    def own():
        found = fabric.lab.oracle("gb")
        return [p for p in found if p["nlri"]["value"]["rd"].get("admin") == vtep]

    paths = wait(lambda: len(own()) == len(fabric.routes("h1")) and own(), "GoBGP to have the routes of h1")
    macs = [p for p in paths if p["nlri"]["type"] == 2]
    assert {tuple(p["nlri"]["value"]["labels"]) for p in macs} == {(VNI,)}
    (flood,) = [p for p in paths if p["nlri"]["type"] == 3]
    (tunnel,) = [a for a in flood["attrs"] if a["type"] == 22]
    assert (tunnel["tunnel-type"], tunnel["label"], tunnel["tunnel-id"]) == (6, VNI, vtep), tunnel
    for path in paths:
        (hung,) = [a["value"] for a in path["attrs"] if a["type"] == 16]
        vni = L3VNI if path["nlri"]["type"] == 5 else VNI
        assert {"type": 0, "subtype": 2, "value": f"{ASN}:{vni}"} in hung
        assert any(one.get("tunnel_type") == 8 for one in hung)
    hung = [one for p in macs for a in p["attrs"] if a["type"] == 16 for one in a["value"]]
    assert [one["sequence"] for one in hung if "sequence" in one] == [3]


def test_gobgp_and_frr_read_prefixes_as_they_were_meant(fabric):
    """RFC 9136 section 4.4.1: no gateway, no segment, the label is the L3VNI, the router MAC is ours."""
    vtep = fabric.lab.address("h1")
    number = fabric.lab.names["h1"]
    wanted = {f"172.16.{number}.0/24", "::/0"}

    def read():
        found = (p for p in fabric.lab.oracle("gb") if p["nlri"]["type"] == 5)
        return [p for p in found if p["nlri"]["value"]["rd"].get("admin") == vtep]

    for path in wait(lambda: len(read()) == 2 and read(), "GoBGP to have the prefixes of h1"):
        value = path["nlri"]["value"]
        assert value["prefix"] in wanted
        assert (value["label"], int(ip_address(value["gateway"])), value["etag"]) == (L3VNI, 0, 0), value
        (hung,) = [a["value"] for a in path["attrs"] if a["type"] == 16]
        assert format_mac(router_mac(int(ip_address(vtep)))) in {one.get("mac") for one in hung}, hung
        assert [a["value"] for a in path["attrs"] if a["type"] == 5] == [200]
    table = fabric.lab.vtysh("rr", "show bgp l2vpn evpn route type prefix json")
    shown = str(table[f"{vtep}:7"])
    assert f"[5]:[0]:[24]:[172.16.{number}.0]" in shown and "[5]:[0]:[0]:[::]" in shown, shown


def test_nobody_can_connect_to_a_speaker(fabric):
    assert ":179" in fabric.lab.inside("rr", "ss", "-Hltn")  # the look finds a listener where there is one
    for host in ("h1", "h2"):
        assert fabric.lab.inside(host, "ss", "-Hltn") == ""


def test_a_withdrawn_route_goes_and_a_changed_label_replaces(fabric):
    one = fabric.routes("h1")[0]
    other = Route(replace(one.nlri, vni=Vni(20200)), one.attributes)
    h1, h2 = fabric.agents["h1"], fabric.agents["h2"]
    h1.client.withdraw([one])
    wait(lambda: key(one) not in h2.routes(), "h2 to lose the route")
    h1.client.announce([other])
    wait(lambda: h2.routes().get(key(one)) == other, "h2 to get the new label")
    for _ in range(5):
        h1.client.withdraw([other])
        ticket = h1.client.announce([one])
    wait(lambda: h2.routes().get(key(one)) == one, "h2 to get the last of many changes")
    wait(lambda: [e for e in h1.seen(Acknowledged) if e.number >= ticket], "the acknowledgement")


def test_an_agents_death_leaves_sessions_and_routes_and_its_successor_relearns(fabric):
    before, here = fabric.sessions(), fabric.agents["h2"].mark()
    fabric.agents["h1"].client.stop()
    agent = fabric.agent("h1")
    wait(lambda: agent.seen(Synced), "the replay")
    assert agent.seen(PeerUp)
    fabric.reached("h1")
    assert any(e.read().end_of_rib for e in agent.seen(Received))
    kept = fabric.routes("h1")[1:]
    agent.client.announce(kept)
    agent.client.eor()
    gone = key(fabric.routes("h1")[0])
    wait(
        lambda: any(gone in e.read().withdrawn for e in fabric.agents["h2"].seen(Received, here)), "the sweep"
    )
    heard = fabric.agents["h2"].seen(Received, here)
    assert not [e for e in heard if {key(r) for r in kept} & set(e.read().withdrawn)]
    assert not fabric.agents["h2"].seen(PeerDown, here)
    assert fabric.sessions() == before
    fabric.say_all("h1")
    fabric.reached("h2")


def test_replay_can_be_asked_for_by_route_target(fabric):
    agent = fabric.agents["h1"]
    for targets, expected in (
        ((communities.route_target(ASN, VNI),), True),
        ((communities.route_target(1, VNI),), False),
    ):
        since = agent.mark()
        agent.client.replay(targets)
        wait(lambda since=since: agent.seen(Synced, since), "the replay")
        assert bool(agent.seen(Received, since)) == expected
    since = agent.mark()
    agent.client.refresh()
    wait(lambda: agent.routes(since), "the reflector to send everything again")


def test_a_second_agent_is_refused_and_the_first_goes_on(fabric):
    second = Agent(fabric.agents["h1"].path)
    wait(lambda: second.seen(Detached), "the refusal")
    second.client.stop()
    assert not second.seen(PeerUp)
    assert not fabric.agents["h1"].seen(Detached)
    wait(lambda: fabric.agents["h1"].client.announce([]) and True, "the first to go on")


def test_a_second_speaker_in_the_same_place_is_refused(fabric):
    first = fabric.lab.processes.pop("speaker-h1")
    fabric.lab.speaker("h1", fabric.lab.address("h1"), [fabric.lab.address("rr")])
    second, fabric.lab.processes["speaker-h1"] = fabric.lab.processes["speaker-h1"], first
    assert second.wait(timeout=60) == 69
    assert "another speaker runs in" in fabric.lab.log("speaker-h1")
    assert not fabric.agents["h1"].seen(Detached)


def exabgp_pid(lab, host):
    return int(re.findall(r"exabgp started pid=(\d+)", lab.log(f"speaker-{host}"))[-1])


def test_exabgp_killed_comes_back_with_all_routes(fabric):
    marks = {host: agent.mark() for host, agent in fabric.agents.items()}
    os.kill(exabgp_pid(fabric.lab, "h1"), signal.SIGKILL)
    h1 = fabric.agents["h1"]
    wait(lambda: h1.seen(PeerDown, marks["h1"]) and h1.seen(PeerUp, marks["h1"]), "the session to come back")
    assert not h1.seen(Detached, marks["h1"])
    fabric.reached("h1", marks["h1"])
    fabric.reached("h2", marks["h2"])


def test_the_whole_speaker_killed_comes_back_with_all_routes(fabric):
    marks = {host: agent.mark() for host, agent in fabric.agents.items()}
    engine = exabgp_pid(fabric.lab, "h2")
    fabric.lab.kill("speaker-h2")
    wait(lambda: not os.path.exists(f"/proc/{engine}"), "exabgp to die with its relay")
    h2 = fabric.agents["h2"]
    wait(lambda: h2.seen(PeerDown, marks["h2"]) and h2.seen(Detached, marks["h2"]), "the agent to be told")
    fabric.lab.speaker("h2", fabric.lab.address6("h2"), [fabric.lab.address6("rr")])
    wait(lambda: h2.seen(Attached, marks["h2"]) and h2.seen(PeerUp, marks["h2"]), "the session to come back")
    fabric.reached("h2", marks["h2"])
    fabric.reached("h1", marks["h1"])


def test_the_reflector_killed_and_back(fabric):
    marks = {host: agent.mark() for host, agent in fabric.agents.items()}
    fabric.lab.kill("bgpd-rr")
    for host, agent in fabric.agents.items():
        wait(lambda a=agent, m=marks[host]: a.seen(PeerDown, m), f"{host} to see the reflector go")
    fabric.lab.daemon("rr", "bgpd")
    for host in fabric.agents:
        fabric.reached(host, marks[host])
        assert not fabric.agents[host].seen(Detached, marks[host])


def test_malformed_updates_cost_themselves_only(fabric):
    """A peer that sends rubbish: the session stays, what is sound arrives, every fault is told."""
    lab = fabric.lab
    good = Route(
        MacRoute(bytes(8), Mac(0x02AAAAAAAAAA), None, VNI),
        Attributes(ip_address(lab.address("bad")), (communities.route_target(ASN, VNI),)),
    )
    sound = update.encode(good)
    raw = nlri.encode(good.nlri)
    bad_community = update.Parts((raw,), bytes(4), (), bytes.fromhex("c01007" + "00" * 7))
    bodies = [
        "0000000480010203",  # unknown attribute, cut off
        "0000000440010500",  # attribute that runs over the end
        update.join(bad_community).hex(),
        update.join(update.Parts((bytes.fromhex("0201ff"),), bytes(4))).hex(),
        update.join(update.Parts((raw,), bytes(5))).hex(),
        sound.hex(),
    ]
    go = lab.directory / "go"
    words = [sys.executable, str(ROGUE), str(ASN), lab.address("bad"), str(go), *bodies]
    rogue = lab.start("bad", "rogue", words)
    wait(lambda: "listening" in lab.log("rogue"), "the rogue to listen")
    lab.node("h3")
    lab.speaker("h3", lab.address("h3"), [lab.address("bad")])
    agent = fabric.agent("h3")
    wait(lambda: agent.seen(PeerUp), "the session")
    go.touch()
    wait(lambda: key(good) in agent.routes(), "the sound route")
    faults = [fault for e in agent.seen(Received) for fault in e.read().faults]
    assert len(faults) == 5, faults
    assert rogue.poll() is None
    assert not agent.seen(PeerDown)
    assert not re.search(r"^3 ", lab.log("rogue"), re.MULTILINE)  # no NOTIFICATION was sent
    fabric.agents.pop("h3").client.stop()
