"""A hypervisor in the wrong hands: what it claims of others is refused and listed, their traffic untouched.

Three hosts, real Open vSwitch, ExaBGP and FRR. hv2 is the rogue: it plugs in other hosts' ports, and says
through its own speaker whatever it likes. Victims send numbered datagrams throughout: none may be lost.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from bgp import show
from bgp.client import Acknowledged, Client, Event
from bgp.codec import communities, nlri
from model.ids import Mac, Vni
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, Route
from tests.integration.product.witness import Guest, Witness, port_document, seat, vni
from topologies.deadline import until
from topologies.errors import LabError
from topologies.fabrics import ASN
from topologies.nodes.hypervisor import Hypervisor, plug, unplug
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload
from topologies.traffic.frames import inject
from topologies.traffic.udp import UdpResult, UdpStream

pytestmark = pytest.mark.integration

_RATE = 100
ROGUE = "hv2"


@dataclass(frozen=True, slots=True)
class Stage:
    """red and blue live on all three hosts, green on hv1 and hv3 only."""

    scenario: TwoTenants
    green: tuple[Workload, ...]

    def run(self, *words: str) -> Any:
        done = self.scenario.control.run(*words, "-o", "json")
        assert done.ok, done.stderr
        return json.loads(done.stdout)

    def host(self, name: str) -> Any:
        return next(h for h in self.run("status")["hosts"] if h["name"] == name)

    def refused_ports(self, host: str) -> dict[str, str]:
        """uid -> reason."""
        return {p["uid"]: p["reason"] for p in self.host(host)["refusedPorts"]}

    def port(self, workload: Workload) -> Any:
        return self.run("get", "port", workload.port, "--tenant", workload.tenant)["status"]

    def routes(self, host: str) -> list[Any]:
        return self.run("evpn", "routes", "--host", host)["items"]

    def rejected(self, host: str) -> dict[str, str]:
        """Route -> reason."""
        return {r["route"]: r["reason"] for r in self.run("evpn", "rejected", "--host", host)["items"]}


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(3)
    wanted = [Guest("green", NETWORK, f"vm{i}", 20 + i, (f"hv{i}",)) for i in (1, 3)]
    made = Stage(scenario, tuple(seat(scenario, wanted)))
    scenario.await_reachability()
    return made


@contextmanager
def undisturbed(pairs: list[tuple[Workload, Workload]]) -> Iterator[list[UdpResult]]:
    """Numbered datagrams between these, both families, for the block; fails if one was lost or came twice."""
    results: list[UdpResult] = []
    with ExitStack() as stack:
        streams = [
            stack.enter_context(UdpStream(a.vm, b.vm, address, rate=_RATE, port=9000 + 10 * n + k))
            for n, (a, b) in enumerate(pairs)
            for k, address in enumerate(b.addresses)
        ]
        until("packets flow", lambda: all(s.received for s in streams), 10)
        yield results
        # An attack may take effect after it is listed: look on for a second of packets.
        marks = [s.sent + _RATE for s in streams]
        until("and go on", lambda: all(s.sent >= m for s, m in zip(streams, marks, strict=True)), 20)
        results += [s.stop() for s in streams]
    for result in results:
        assert result.sent > _RATE and (result.lost, result.duplicates) == (0, 0), result


def test_a_port_of_another_host_is_not_given_away(stage: Stage) -> None:
    """The rogue plugs in red1's uid, and green1's, of whose network it has nothing."""
    scenario, rogue = stage.scenario, stage.scenario.lab.node(ROGUE)
    assert isinstance(rogue, Hypervisor)
    red1, red2, red3 = scenario.of("red")
    green1, green3 = stage.green
    before = [stage.port(w) for w in (red1, green1)]
    thieves = [scenario.lab.vm(f"thief{i}") for i in range(2)]
    mark = os.urandom(16)
    senders = {red1.name: red3, red3.name: red1, red2.name: red1, green3.name: green1, green1.name: green3}
    with undisturbed([(red1, red3), (red3, red1), (green1, green3)]):
        for vm, prey in zip(thieves, (red1, green1), strict=True):
            plug(rogue, vm, f"t-{vm.name}", prey.uid, prey.mac, prey.cidrs)
        reason = until("the claim is listed", lambda: stage.refused_ports(ROGUE).get(red1.uid), 20)
        until("the unknown one, too", lambda: stage.host(ROGUE)["ports"].get("unknown") == 1, 20)
        with Witness((red1, red2, red3, green1, green3), senders) as witness:
            witness.control()
            for vm, prey, friend in zip(thieves, (red1, green1), (red3, green3), strict=True):
                inject(vm, "eth0", [stolen(prey, friend, mark)] * 5)
            witness.control()
            assert witness.places(mark) == {}
        assert [stage.port(w) for w in (red1, green1)] == before
    assert "hosts of the port do not name hv2" in reason
    for vm in thieves:
        unplug(rogue, f"t-{vm.name}")
    until("the list is empty again", lambda: not stage.refused_ports(ROGUE), 20)


def stolen(prey: Workload, friend: Workload, mark: bytes) -> bytes:
    """What the thief would send in its victim's name."""
    macs = b"".join(bytes.fromhex(w.mac.replace(":", "")) for w in (friend, prey))
    addresses = b"".join(IPv4Address(w.ipv4).packed for w in (prey, friend))
    body = bytes.fromhex("450000240000400040fd") + bytes(2) + addresses + mark
    return macs + b"\x08\x00" + body


def test_the_same_port_on_two_allowed_hosts_stays_where_it_was_first(stage: Stage) -> None:
    scenario, second = stage.scenario, stage.scenario.lab.node(ROGUE)
    assert isinstance(second, Hypervisor)
    guest = Guest("red", NETWORK, "vm50", 50, ("hv1", ROGUE))
    (first,) = seat(scenario, [guest])
    red3 = scenario.of("red")[2]
    until("bound to the first", lambda: stage.port(first)["host"] == "hv1", 20)
    until("hv3 knows", lambda: any(r["mac"] == first.mac for r in stage.routes("hv3")), 20)
    twin = scenario.lab.vm("twin")
    with undisturbed([(first, red3), (red3, first)]):
        plug(second, twin, "t-twin", first.uid, first.mac, first.cidrs)
        reason = until("the second is listed", lambda: stage.refused_ports(ROGUE).get(first.uid), 20)
        assert stage.port(first)["host"] == "hv1"
    assert "hv1" in reason
    # With the first gone the second may: the store decided, not the network.
    host = scenario.lab.node("hv1")
    assert isinstance(host, Hypervisor)
    unplug(host, first.ifname)
    until("bound to the second", lambda: stage.port(first)["host"] == ROGUE, 20)
    until("no longer refused", lambda: first.uid not in stage.refused_ports(ROGUE), 20)
    moved = replace(first, vm=twin)
    until("hv3 follows", lambda: reaches(red3, moved), 20)
    unplug(second, "t-twin")
    scenario.control.apply([{**port_document(guest), "spec": {**port_document(guest)["spec"], "hosts": []}}])
    until("nobody knows it any more", lambda: not any(knows(stage, h, first) for h in ("hv1", "hv3")), 30)


def knows(stage: Stage, host: str, workload: Workload) -> bool:
    return any(route["mac"] == workload.mac for route in stage.routes(host))


def reaches(here: Workload, there: Workload) -> bool:
    with UdpStream(here.vm, there.vm, there.ipv4, rate=100, limit=3) as stream:
        return stream.finish().received == 3


@contextmanager
def impostor(stage: Stage) -> Iterator[Callable[[list[Route]], None]]:
    """The rogue's agent is gone; something else speaks through its speaker. Afterwards the agent is back."""
    control, events = stage.scenario.control, list[Event]()
    control.agents[ROGUE].kill()
    client = Client(str(control.speaker_socket(ROGUE)), events.append)

    def announce(routes: list[Route]) -> None:
        ticket = client.announce(routes)
        until(
            "announced", lambda: any(isinstance(e, Acknowledged) and e.number >= ticket for e in events), 10
        )

    client.start()
    try:
        yield announce
    finally:
        client.stop()
        control.agents[ROGUE].start()


@dataclass(frozen=True, slots=True)
class Lie:
    """A route, and a part of the reason for which an honest host refuses it."""

    route: Route
    reason: str


def lies(stage: Stage) -> list[Lie]:
    """All that the rogue announces, each under a key of its own."""
    vteps = {str(h.name): ip_address(h.vtep_address) for h in stage.scenario.lab.hypervisors}
    red, green = (Vni(vni(stage.scenario, t)) for t in ("red", "green"))
    _, red2, red3 = stage.scenario.of("red")
    green3 = stage.green[1]
    numbers = iter(range(700, 800))

    def mac(workload: Workload) -> Mac:
        return Mac(int(workload.mac.replace(":", ""), 16))

    def rd(host: str) -> bytes:
        return nlri.distinguisher(Distinguisher(int(vteps[host]), next(numbers)))

    def said(hop: str = ROGUE, target: int = red, **more: Any) -> Attributes:
        base = Attributes(
            vteps[hop],
            (communities.route_target(ASN, Vni(target)),),
            encapsulations=(communities.VXLAN,),
            sequence=4096,
        )
        return replace(base, **more)

    def flood(target: Vni) -> Route:
        # FRR writes the next hop into the PMSI attribute that it reflects: no lie about it gets through.
        attributes = said(target=target, sequence=None, pmsi_vni=target, pmsi_endpoint=vteps[ROGUE])
        return Route(MulticastRoute(rd(ROGUE), vteps[ROGUE]), attributes)

    stolen = [Route(MacRoute(rd(ROGUE), mac(red3), a, red), said())
              for a in (None, *map(ip_address, red3.addresses))]  # fmt: skip
    own = MacRoute(rd(ROGUE), mac(red2), None, red)
    return [
        *(Lie(route, "whose hosts are hv3") for route in stolen),
        Lie(Route(MacRoute(rd(ROGUE), mac(green3), None, green), said(target=green)), "whose hosts are hv3"),
        Lie(Route(MacRoute(rd(ROGUE), mac(red2), ip_address(red3.ipv6 + "99"), red), said()), "which has"),
        Lie(Route(MacRoute(rd(ROGUE), mac(red2), None, Vni(0xABCDE)), said()), "is not that of network"),
        Lie(Route(replace(own, rd=rd(ROGUE)), said(target=0xABCDE)), "route targets are"),
        Lie(Route(MacRoute(rd(ROGUE), Mac(0x02DEAD000001), None, red), said()), "no such port"),
        Lie(Route(MacRoute(rd(ROGUE), Mac(0x01005E000001), None, red), said()), "no unicast MAC"),
        Lie(flood(green), "none of whose ports has that host"),
        # Next hops of others: with its own distinguisher, with theirs, and one that nobody has.
        Lie(Route(own, said("hv3")), "is not `router-id:number`"),
        Lie(Route(replace(own, rd=rd("hv3")), said("hv3")), "whose hosts are hv2"),
        Lie(Route(replace(own, rd=rd(ROGUE)), said("hv1")), "this host's own VTEP"),
        Lie(Route(replace(own, rd=rd(ROGUE)), said(next_hop=ip_address("172.16.0.99"))), "no declared"),
        Lie(Route(replace(own, rd=rd(ROGUE)), said(default_gateway=True)), "default gateway"),
        Lie(Route(replace(own, rd=rd(ROGUE)), said(sticky=True)), "static MAC"),
    ]


def await_listed(stage: Stage, expected: set[str]) -> None:
    """Until hv1 lists these routes as refused; says which it does not."""
    try:
        until("all is listed", lambda: expected <= set(stage.rejected("hv1")), 15)
    except LabError as error:
        pytest.fail(f"{error}: {sorted(expected - set(stage.rejected('hv1')))}")


def test_what_a_rogue_announces_is_refused_and_listed(stage: Stage) -> None:
    red1, _, red3 = stage.scenario.of("red")
    green1, green3 = stage.green
    told = lies(stage)
    until("nothing is refused", lambda: not stage.rejected("hv1"), 30)
    known = {host: stage.routes(host) for host in ("hv1", "hv3")}
    with undisturbed([(red1, red3), (red3, red1), (green1, green3)]):
        with impostor(stage) as announce:
            announce([lie.route for lie in told])
            expected = {show.text(lie.route) for lie in told}
            await_listed(stage, expected)
            listed = stage.rejected("hv1")
            assert {host: stage.routes(host) for host in known} == known
    wrong = [f"{show.text(t.route)}: {listed[show.text(t.route)]}" for t in told
             if t.reason not in listed[show.text(t.route)]]  # fmt: skip
    assert wrong == []
    until("forgotten, once withdrawn", lambda: not stage.rejected("hv1"), 30)
    assert {host: stage.routes(host) for host in known} == known


def test_a_stolen_route_key_hides_the_truth_at_the_reflector_and_changes_nothing(stage: Stage) -> None:
    """The victim's own NLRI with a higher sequence: the reflector prefers it, and no longer tells hv1 the
    truth. The honest hosts keep what they know."""
    scenario = stage.scenario
    red1, _, red3 = scenario.of("red")
    network = next(n for n in scenario.control.get("networks") if n["metadata"]["tenant"] == "red")
    number, code = int(network["status"]["key"]), Vni(int(network["spec"]["vni"]))
    vteps = {str(h.name): ip_address(h.vtep_address) for h in scenario.lab.hypervisors}
    rd = nlri.distinguisher(Distinguisher(int(vteps["hv3"]), number))
    target = (communities.route_target(ASN, code),)
    said = Attributes(vteps[ROGUE], target, sequence=4096, encapsulations=(communities.VXLAN,))
    mac = Mac(int(red3.mac.replace(":", ""), 16))
    routes = [Route(MacRoute(rd, mac, a, code), said) for a in (None, *map(ip_address, red3.addresses))]
    known = stage.routes("hv1")
    with undisturbed([(red1, red3), (red3, red1)]):
        with impostor(stage) as announce:
            announce(routes)
            expected = {show.text(route) for route in routes}
            await_listed(stage, expected)
            assert all("is not `router-id:number`" in stage.rejected("hv1")[one] for one in expected)
            assert stage.routes("hv1") == known
        until("the truth is back", lambda: not stage.rejected("hv1"), 30)
    assert stage.routes("hv1") == known
