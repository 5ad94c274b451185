"""The reflector's configuration that we ship (`bgp.reflector`), in real FRR: what it refuses, what it sends.

`evil` is a second ExaBGP behind a socket of its own; the test is its agent and may hand it any bytes. Before
each refusal the same words pass a reflector without that configuration.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import pytest

from bgp import wire
from bgp.client import PeerDown, PeerUp, Received
from bgp.codec import attributes, communities, nlri
from bgp.reflector import Client, Terms, configuration
from model.addresses import router_mac
from model.ids import Mac, Vni
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, PrefixRoute, Route
from tests.integration.evpn.lab import ASN, Lab, wait
from tests.integration.evpn.test_evpn import Agent, as_said, key

pytestmark = pytest.mark.integration

VNI, OTHER_VNI, L3VNI = Vni(10100), Vni(20200), Vni(10901)
VICTIM, THIEF, FRESH = Mac(0x020000000001), Mac(0x020000000002), Mac(0x020000000003)
LATER = Mac(0x020000000004)
_NEXT_HOP = 3
_WELL_KNOWN = 0x40


class Evil:
    """Says bytes to a speaker as its agent would; what comes back is read and forgotten."""

    def __init__(self, path: str) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.connect(path)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        while self.stream.recv(1 << 16):
            pass

    def say(self, *routes: Route, hidden: str = "") -> None:
        """Announce; with `hidden`, each UPDATE has an attribute NEXT_HOP of that address besides."""
        packed = []
        for route in routes:
            fields = attributes.encode(route.attributes)
            if hidden:
                fields += attributes.field(_WELL_KNOWN, _NEXT_HOP, ip_address(hidden).packed)
            packed.append(
                (nlri.encode(route.nlri).hex(), route.attributes.next_hop.packed.hex(), fields.hex())
            )
        self.stream.sendall(wire.pack(op="announce", id=1, routes=packed) + wire.pack(op="eor"))

    def unsay(self, *routes: Route) -> None:
        self.stream.sendall(
            wire.pack(op="withdraw", id=1, routes=[nlri.encode(r.nlri).hex() for r in routes])
        )

    def close(self) -> None:
        self.stream.shutdown(socket.SHUT_RDWR)
        self.stream.close()


@dataclass
class Stage:
    """`plain` and `ours` are reflectors; victim, evil and witness peer with both."""

    lab: Lab
    victim: Agent
    witness: Agent
    evil: Evil

    def route(
        self, owner: str, mac: Mac, *, hop: str = "", vni: Vni = VNI, sequence: int | None = None
    ) -> Route:
        """An RT-2 under `owner`'s RD; next hop of `hop`, or the owner's."""
        rd = nlri.distinguisher(Distinguisher(int(ip_address(self.lab.address(owner))), 7))
        return Route(MacRoute(rd, mac, None, vni), self.hung(hop or owner, vni, sequence))

    def hung(self, hop: str, vni: Vni, sequence: int | None = None) -> Attributes:
        return Attributes(
            ip_address(self.lab.address(hop)),
            (communities.route_target(ASN, vni),),
            sequence=sequence,
            encapsulations=(communities.VXLAN,),
        )

    def at(self, reflector: str, since: int = 0) -> dict[bytes, Route]:
        """What the witness has of that reflector."""
        made: dict[bytes, Route] = {}
        peer = self.lab.address(reflector)
        with self.witness.lock:
            events = self.witness.events[since:]
        for event in events:
            if isinstance(event, PeerDown) and event.peer == peer:
                made.clear()
            elif isinstance(event, Received) and event.peer == peer:
                for gone in event.read().withdrawn:
                    made.pop(gone, None)
                made.update((one, as_said(route)) for one, route in event.read().announced)
        return made

    def has(self, reflector: str, route: Route) -> bool:
        return self.at(reflector).get(key(route)) == route

    def heard(self, reflector: str, since: int) -> list[Route]:
        """Whatever the witness was sent by it."""
        peer = self.lab.address(reflector)
        events = [e for e in self.witness.seen(Received, since) if e.peer == peer]
        return [route for event in events for _, route in event.read().announced]

    def barrier(self, sequence: int) -> None:
        """An honest route of the evil client that both reflectors have passed on: what it said before is
        judged, too."""
        last = self.route("evil", THIEF, sequence=sequence)
        self.evil.say(last)
        wait(lambda: self.has("ours", last) and self.has("plain", last), "both reflectors to have heard all")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    for tool in ("ip", "setpriv", "vtysh"):
        assert shutil.which(tool), f"{tool} is missing: install it"
    lab = Lab.open()
    agents: list[Agent] = []
    evil = None
    try:
        for name in ("plain", "ours", "victim", "evil", "witness"):
            lab.node(name)
        hosts = ("victim", "evil", "witness")
        lab.frr("plain", [lab.address(name) for name in hosts])
        lab.frr_with("ours", ours(lab))
        peers = [lab.address("plain"), lab.address("ours")]
        for name in hosts:
            lab.speaker(name, lab.address(name), peers)
        agents += [Agent(lab.directory / f"{name}.sock") for name in ("victim", "witness")]
        victim, witness = agents
        wait((lab.directory / "evil.sock").exists, "the evil speaker to listen")
        evil = Evil(str(lab.directory / "evil.sock"))
        for agent in agents:
            wait(lambda a=agent: len({e.peer for e in a.seen(PeerUp)}) == 2, "both sessions")
            agent.client.eor()
        yield Stage(lab, victim, witness, evil)
    finally:
        if evil is not None:
            evil.close()
        for agent in agents:
            agent.client.stop()
        lab.close()


def ours(lab: Lab, *more: Mac, clients: tuple[Client, ...] = ()) -> str:
    """bgpd.conf: victim and evil may say their own MACs, the witness nothing; it is sent two VNIs."""
    every = [
        *clients,
        Client("victim", ip_address(lab.address("victim")), (VICTIM,)),
        Client("evil", ip_address(lab.address("evil")), (THIEF, *more)),
        Client("witness", ip_address(lab.address("witness")), (), (VNI, L3VNI)),
    ]
    terms = Terms(ASN, ip_address(lab.address("ours")), 3, 9)
    return configuration(terms, every).replace("bgp router-id", "bgp graceful-restart\n bgp router-id")


def test_what_is_a_clients_own_passes(stage: Stage) -> None:
    """RT-2, RT-3 and RT-5, through both."""
    rd = stage.route("victim", VICTIM).nlri.rd
    vtep = ip_address(stage.lab.address("victim"))
    flood = replace(stage.hung("victim", VNI), pmsi_vni=VNI, pmsi_endpoint=vtep)
    prefix = replace(stage.hung("victim", L3VNI), router_mac=router_mac(int(vtep)))
    own = (
        stage.route("victim", VICTIM),
        Route(MulticastRoute(rd, vtep), flood),
        Route(PrefixRoute(rd, ip_network("172.16.1.0/24"), L3VNI), prefix),
        Route(PrefixRoute(rd, ip_network("fd01::/64"), L3VNI), prefix),
    )
    stage.victim.client.announce(own)
    for route in own:
        for reflector in ("plain", "ours"):
            wait(lambda r=route, x=reflector: stage.has(x, r), f"{route.nlri} from {reflector}")


def test_another_next_hop_is_refused(stage: Stage) -> None:
    lies = (stage.route("evil", THIEF, hop="victim"), stage.route("evil", FRESH, hop="victim"))
    since = stage.witness.mark()
    stage.evil.say(*lies)
    wait(lambda: all(stage.has("plain", r) for r in lies), "the lies to pass where nothing refuses them")
    stage.barrier(1)
    assert {r.nlri.mac for r in stage.heard("ours", since)} == {THIEF}
    own = ip_address(stage.lab.address("evil"))
    assert {r.attributes.next_hop for r in stage.heard("ours", since)} == {own}


def test_a_second_next_hop_does_not_hide_the_first(stage: Stage) -> None:
    """NEXT_HOP is its own, MP_REACH_NLRI says the victim's: FRR compares the one and hands on the other."""
    lie = stage.route("evil", THIEF, hop="victim", sequence=50)
    stage.evil.say(lie, hidden=stage.lab.address("evil"))
    wait(lambda: stage.has("plain", lie), "the lie to pass where nothing refuses it")
    honest = replace(lie, attributes=replace(lie.attributes, next_hop=ip_address(stage.lab.address("evil"))))
    wait(lambda: stage.has("ours", honest), "the client's own next hop instead")


def test_a_victims_route_key_is_refused_and_the_victim_stays(stage: Stage) -> None:
    """Its RD and MAC with a higher sequence: the best path everywhere by RFC 7432 section 15.1."""
    true = stage.route("victim", VICTIM)
    stolen = stage.route("victim", VICTIM, hop="evil", sequence=9)
    since = stage.witness.mark()
    stage.evil.say(stolen)
    wait(lambda: stage.has("plain", stolen), "the theft to work where nothing refuses it")
    stage.barrier(2)
    assert stage.has("ours", true)
    # a busy reflector may say the true one again
    assert all(as_said(r) == true for r in stage.heard("ours", since) if key(r) == key(stolen))
    stage.evil.unsay(stolen)
    wait(lambda: stage.has("plain", true), "the victim to be back")


def test_a_new_port_passes_after_a_reload_and_no_session_ends(stage: Stage) -> None:
    """As the page says: FRR's own tool applies what differs in the configuration that was made again."""
    fresh = stage.route("evil", FRESH)
    stage.evil.say(fresh)
    wait(lambda: stage.has("plain", fresh), "it to pass the other reflector")
    stage.barrier(3)
    assert not stage.at("ours").get(key(fresh))
    since = stage.witness.mark()
    assert stage.lab.reload("ours", ours(stage.lab, FRESH)) != []
    wait(lambda: stage.has("ours", fresh), "the new port's route", 30)
    assert not stage.witness.seen(PeerDown, since)


def test_a_reload_of_what_it_has_changes_nothing(stage: Stage) -> None:
    """Nothing is found that differs, so nothing is asked for again."""
    stage.barrier(30)  # what the reload before made it say has been heard
    since = stage.witness.mark()
    assert stage.lab.reload("ours", ours(stage.lab, FRESH)) == []
    assert not stage.witness.seen(PeerDown, since) and not stage.heard("ours", since)


def test_a_host_comes_and_goes_and_no_session_ends(stage: Stage) -> None:
    """With all that is its own: a neighbor, its lists and its route maps."""
    since = stage.witness.mark()
    later = Client("later", ip_address("10.99.0.99"), (LATER,), (VNI,))
    came = stage.lab.reload("ours", ours(stage.lab, FRESH, clients=(later,)))
    assert any("neighbor 10.99.0.99 peer-group CLIENTS" in line for line in came), came
    known = stage.lab.vtysh("ours", "show bgp l2vpn evpn summary json")["peers"]
    assert "10.99.0.99" in known
    stage.lab.reload("ours", ours(stage.lab, FRESH))
    assert stage.lab.reload("ours", ours(stage.lab, FRESH)) == []
    running = stage.lab.tell("ours", "show running-config")
    assert "later" not in running and "10.99.0.99" not in running, running
    assert not stage.witness.seen(PeerDown, since)


def test_a_client_is_sent_what_it_imports(stage: Stage) -> None:
    foreign = stage.route("evil", THIEF, vni=OTHER_VNI)
    near = stage.route("evil", FRESH)
    stage.evil.say(foreign, near)
    wait(lambda: stage.has("plain", foreign), "the other network's route where nothing filters")
    stage.barrier(4)
    stage.evil.say(foreign)
    wait(lambda: stage.has("plain", foreign), "the same again")
    wait(lambda: key(foreign) not in stage.at("ours"), "it to be taken back")
    assert stage.has("ours", near)
