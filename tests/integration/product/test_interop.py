"""The interop matrix: each kind of route, in each direction, with each stack, and what it did in the kernel.

Real FRR as reflector, as VTEP with kernel VXLAN (`frr1`) and as a router with an L3VNI (`border1`); GoBGP as
a client that decodes what we say, and says routes of its own. The table in docs/evpn.md is what this file
saw: the last test compares them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.product.matrix import Matrix, assert_written
from topologies.fabrics import ASN, BRIDGE, UNDERLAY_MTU, Plan
from topologies.lab import Lab
from topologies.nodes.frr import FrrHost
from topologies.nodes.gobgp import UPLINK, GobgpNode
from topologies.nodes.link import End, link
from topologies.scenarios import border as border_scenario
from topologies.scenarios.border import OUTSIDE, Bordered
from topologies.scenarios.two_tenants import API_VERSION, Workload
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

BEGIN, END = (
    "<!-- matrix: as test_interop.py saw it -->",
    "<!-- end of matrix -->",
)
GOBGP, GOBGP_ADDRESS = "gobgp1", "172.16.0.130"
GUEST = ("10.0.0.77", "fd00:10::77")
BEHIND = ("198.18.7.0/24", "2001:db8:77::/48")
"""What GoBGP leads to."""
SEGMENT, LACP = "01:02:aa:bb:cc:dd:01:00:07:00", "esi lacp 02:aa:bb:cc:dd:01 7"
"""What it is on."""
STATIC = ("172.20.1.0/24", "fd00:20::/48")
"""What red's first VM leads to."""
ROUTER = "02:77:00:00:00:01"
ROUTER_OF_HV1 = "0e:52:ac:10:00:01"
"""Made from its router id, 172.16.0.1 (RFC 9135 section 4.1)."""
PATIENCE = 40.0

RF_FRR, FRR_RF, RF_GO, GO_RF = (
    "Ringfence to FRR",
    "FRR to Ringfence",
    "Ringfence to GoBGP",
    "GoBGP to Ringfence",
)
COLUMNS = (RF_FRR, FRR_RF, RF_GO, GO_RF)
MAC, MAC4, MAC6 = "RT-2, MAC alone", "RT-2, MAC and IPv4", "RT-2, MAC and IPv6"
IRB, FLOOD = "RT-2, both labels and router MAC", "RT-3, ingress replication"
PREFIX4, PREFIX6 = "RT-5, IPv4", "RT-5, IPv6"
WHOLE, ALIAS, MEMBER = "RT-1, per segment", "RT-1, per EVI", "RT-4"
SHARED = "RT-2, behind a segment"
BRIDGED, ROUTED = "ping within the network, IPv4 and IPv6", "ping through the L3VNI, IPv4 and IPv6"
ROWS = (WHOLE, ALIAS, MAC, MAC4, MAC6, IRB, SHARED, FLOOD, MEMBER, PREFIX4, PREFIX6, BRIDGED, ROUTED)

FDB, NEIGHBOUR, ROUTE, PING = "`bridge fdb`", "`ip neigh`", "`ip route`", "ping over it"
KERNEL = (FDB, NEIGHBOUR, ROUTE, PING)
IN_KERNEL = (MAC, MAC4, MAC6, IRB, FLOOD, PREFIX4, PREFIX6)
BEHIND_RED = ("172.20.1.9", "fd00:20::9")
"""In STATIC."""


Test = Callable[[], bool]


@dataclass(frozen=True)
class Stage:
    scenario: Bordered
    gobgp: GobgpNode
    guest_mac: str
    shared_mac: str
    vni: int
    seen: Matrix = field(default_factory=lambda: Matrix(PATIENCE))
    """Both tables: by what was said to whom, and by what our routes did in FRR's kernel."""

    @property
    def frr(self) -> FrrHost:
        return next(h for h in self.scenario.lab.frr_hosts if h.name == "frr1")

    @property
    def red(self) -> Workload:
        return self.scenario.base.at("red", "hv1")

    @property
    def outside(self) -> Workload:
        """Red's VM on the FRR host."""
        return self.scenario.base.at("red", "frr1")

    def see(self, row: str, column: str, what: str, condition: Callable[[], object]) -> None:
        self.seen.see(row, column, what, condition)

    def used(self, **wanted: Any) -> bool:
        """Whether hv1 uses a route with these fields (`addresses`: at least those)."""
        done = self.scenario.base.control.run("evpn", "routes", "--host", "hv1", "-o", "json")
        assert done.ok, done.stderr
        addresses = set(wanted.pop("addresses", ()))
        return any(
            all(item.get(key) == value for key, value in wanted.items())
            and addresses <= set(item["addresses"])
            for item in json.loads(done.stdout)["items"]
        )

    def decoded(self, kind: int, **wanted: Any) -> list[dict[str, Any]]:
        """GoBGP's paths of hv1's RD, with these values in the NLRI."""
        return [
            path
            for path in self.gobgp.paths()
            if path["nlri"]["type"] == kind
            and path["nlri"]["value"]["rd"].get("admin") == "172.16.0.1"
            and all(path["nlri"]["value"].get(key) == value for key, value in wanted.items())
        ]


@pytest.fixture(scope="module")
def stage(_labs: Any) -> Stage:
    def build(name: str) -> tuple[Lab, Bordered]:
        made = border_scenario.build(name, Plan(2, 1))
        return made.lab, made

    scenario: Bordered = _labs.once(("interop",), build)
    scenario.base.await_reachability()
    lab, control = scenario.lab, scenario.base.control
    spec = {"vtep": GOBGP_ADDRESS, "external": True, "border": True, "segments": [SEGMENT]}
    red = scenario.base.at("red", "hv1")
    control.apply(
        [
            document("Hypervisor", GOBGP, None, spec),
            document("Port", "far", "red", {"network": "net", "addresses": list(GUEST), "hosts": [GOBGP]}),
            document("Port", "shared", "red", {"network": "net", "addresses": [], "hosts": [GOBGP]}),
            document("Route", "four", "red", {"prefix": STATIC[0], "nextHops": [red.ipv4]}),
            document("Route", "six", "red", {"prefix": STATIC[1], "nextHops": [red.ipv6]}),
        ]
    )
    red.vm.run("\n".join(f"ip address add {address} dev lo" for address in BEHIND_RED))
    ports = {p["metadata"]["name"]: p for p in control.get("ports", "--tenant", "red")}
    vni = next(int(n["spec"]["vni"]) for n in control.get("networks") if n["metadata"]["tenant"] == "red")
    node = GobgpNode(GOBGP, lab.cell, lab.directory, f"{GOBGP_ADDRESS}/24")
    lab.add(node)
    segment = lab.nodes[BRIDGE]
    link(End(node, UPLINK), End(segment, GOBGP), UNDERLAY_MTU)
    segment.attach(GOBGP)  # type: ignore[attr-defined]
    node.start(ASN, [r.address for r in lab.reflectors])
    return Stage(scenario, node, ports["far"]["spec"]["mac"], ports["shared"]["spec"]["mac"], vni)


def document(kind: str, name: str, tenant: str | None, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"tenant": tenant} if tenant else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def passes(source: Any, address: str) -> bool:
    return ping(source, address, 2, wait=0.5).complete


def test_ringfence_to_frr_bridged(stage: Stage) -> None:
    frr, red, outside = stage.frr, stage.red, stage.outside

    def fdb(mac: str) -> bool:
        lines = frr.run(f"bridge fdb show dev vx{stage.vni}").splitlines()
        return any(x.startswith(f"{mac} dst 172.16.0.1 ") and "self" in x for x in lines)

    def learned() -> bool:
        lines = frr.run(f"bridge fdb show dev vx{stage.vni}").splitlines()
        return fdb(red.mac) and all("extern_learn" in x for x in lines if x.startswith(red.mac))

    def neighbour(address: str) -> bool:
        shown = frr.run(f"ip neigh show {address} dev br{stage.vni}")
        return red.mac in shown and "extern_learn" in shown

    stage.see(MAC, RF_FRR, "kernel FDB", learned)
    stage.see(MAC, FDB, "MAC dst VTEP, extern_learn", learned)
    for row, address in ((MAC4, red.ipv4), (MAC6, red.ipv6)):
        stage.see(row, RF_FRR, "kernel neighbour", lambda a=address: neighbour(a))
        stage.see(row, NEIGHBOUR, "address lladdr MAC, extern_learn", lambda a=address: neighbour(a))
        stage.see(row, PING, "pass", lambda a=address: passes(outside.vm, a))
    stage.see(FLOOD, RF_FRR, "kernel FDB", lambda: fdb("00:00:00:00:00:00"))
    stage.see(FLOOD, FDB, "all zeros dst VTEP", lambda: fdb("00:00:00:00:00:00"))


def test_ringfence_to_frr_routed(stage: Stage) -> None:
    """FRR's L3VNI in its default VRF: routes, and the router MAC behind them."""
    border, red, bridge = stage.scenario.border, stage.red, f"br{stage.scenario.l3vni}"
    internet = stage.scenario.internet

    def fdb() -> bool:
        lines = border.run(f"bridge fdb show dev vx{stage.scenario.l3vni}").splitlines()
        return any(x.startswith(f"{ROUTER_OF_HV1} dst 172.16.0.1 ") and "extern_learn" in x for x in lines)

    def neighbour(six: bool) -> bool:
        shown = border.run(f"ip neigh show {'::ffff:' * six}172.16.0.1 dev {bridge}")
        return f"lladdr {ROUTER_OF_HV1} " in shown and "extern_learn" in shown

    def route(prefix: str) -> bool:
        six = ":" in prefix
        shown = border.run(f"ip -{6 if six else 4} route show {prefix}")
        return f"via {'::ffff:' * six}172.16.0.1 dev {bridge} proto bgp" in shown

    rows = (
        (IRB, red.addresses, red.addresses),
        (PREFIX4, STATIC[:1], BEHIND_RED[:1]),
        (PREFIX6, STATIC[1:], BEHIND_RED[1:]),
    )
    for row, prefixes, inside in rows:
        versions = {":" in prefix for prefix in prefixes}

        def routes(prefixes: tuple[str, ...] = prefixes) -> bool:
            return all(route(prefix) for prefix in prefixes)

        def neighbours(versions: set[bool] = versions) -> bool:
            return all(neighbour(version) for version in versions)

        def pings(inside: tuple[str, ...] = inside) -> bool:
            return all(passes(internet, address) for address in inside)

        def everything(routes: Test = routes, neighbours: Test = neighbours) -> bool:
            return routes() and neighbours() and fdb()

        stage.see(row, ROUTE, "prefix via VTEP, proto bgp", routes)
        stage.see(row, NEIGHBOUR, "VTEP lladdr router MAC, extern_learn", neighbours)
        stage.see(row, FDB, "router MAC dst VTEP, extern_learn", fdb)
        stage.see(row, PING, "pass", pings)
        stage.see(row, RF_FRR, "kernel route, neighbour, FDB", everything)


def test_frr_to_ringfence(stage: Stage) -> None:
    there = {"kind": "mac", "network": "red/net", "mac": stage.outside.mac, "vtep": stage.frr.address}
    stage.see(MAC, FRR_RF, "used", lambda: stage.used(**there))
    stage.see(MAC4, FRR_RF, "used", lambda: stage.used(**there, addresses=[stage.outside.ipv4]))
    stage.see(MAC6, FRR_RF, "used", lambda: stage.used(**there, addresses=[stage.outside.ipv6]))
    flood = {"kind": "flood", "network": "red/net", "vtep": stage.frr.address}
    stage.see(FLOOD, FRR_RF, "used", lambda: stage.used(**flood))
    for row, prefix in ((PREFIX4, "198.51.100.0/24"), (PREFIX6, "2001:db8:100::/64")):
        wanted = {"kind": "prefix", "network": "tenant red", "vtep": stage.scenario.border.address}
        stage.see(row, FRR_RF, "used", lambda w=wanted, p=prefix: stage.used(**w, addresses=[p]))


def test_packets_pass(stage: Stage) -> None:
    red, outside, internet = stage.red, stage.outside, stage.scenario.internet

    def both(here: Any, there: tuple[str, ...]) -> bool:
        return all(passes(here, address) for address in there)

    stage.see(BRIDGED, RF_FRR, "pass", lambda: both(red.vm, outside.addresses))
    stage.see(BRIDGED, FRR_RF, "pass", lambda: both(outside.vm, red.addresses))
    stage.see(ROUTED, RF_FRR, "pass", lambda: both(red.vm, OUTSIDE))
    stage.see(ROUTED, FRR_RF, "pass", lambda: both(internet, red.addresses))


def test_ringfence_to_gobgp(stage: Stage) -> None:
    red, l3vni = stage.red, stage.scenario.l3vni

    def labels(address: str) -> list[list[int]]:
        return [p["nlri"]["value"]["labels"] for p in stage.decoded(2, mac=red.mac, ip=address)]

    def hung(path: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for a in path["attrs"] if a["type"] == 16 for one in a["value"]]

    def both() -> bool:
        found = stage.decoded(2, mac=red.mac, ip=red.ipv4)
        return [p["nlri"]["value"]["labels"] for p in found] == [[stage.vni, l3vni]] and any(
            "mac" in one for one in hung(found[0])
        )

    def flood() -> bool:
        found = stage.decoded(3)
        tunnels = [a for path in found for a in path["attrs"] if a["type"] == 22]
        return any(
            (t["tunnel-type"], t["label"], t["tunnel-id"]) == (6, stage.vni, "172.16.0.1") for t in tunnels
        )

    def alone() -> bool:
        found = [p for p in stage.decoded(2, mac=red.mac) if p["nlri"]["value"]["labels"] == [stage.vni]]
        return bool(found)

    stage.see(MAC, RF_GO, "decoded", alone)
    stage.see(MAC4, RF_GO, "decoded", lambda: labels(red.ipv4))
    stage.see(MAC6, RF_GO, "decoded", lambda: labels(red.ipv6))
    stage.see(IRB, RF_GO, "decoded", both)
    stage.see(FLOOD, RF_GO, "decoded", flood)
    for row, prefix in ((PREFIX4, STATIC[0]), (PREFIX6, STATIC[1])):
        stage.see(row, RF_GO, "decoded", lambda p=prefix: stage.decoded(5, prefix=p, label=l3vni))


def test_gobgp_to_ringfence(stage: Stage) -> None:
    """Its port is declared, and it is a border: all that it says is its to say."""
    rd, l3vni = f"{GOBGP_ADDRESS}:77", stage.scenario.l3vni
    tail = f"rd {rd} rt {ASN}:{stage.vni} encap vxlan"
    for address in ("0.0.0.0", *GUEST):
        stage.gobgp.say(f"macadv {stage.guest_mac} {address} etag 0 label {stage.vni} {tail}")
    stage.gobgp.say(f"multicast {GOBGP_ADDRESS} etag 0 {tail} pmsi ingress-repl {stage.vni} {GOBGP_ADDRESS}")
    for prefix in BEHIND:
        stage.gobgp.say(
            f"prefix {prefix} etag 0 label {l3vni} rd {rd} rt {ASN}:{l3vni} encap vxlan router-mac {ROUTER}"
        )
    there = {"kind": "mac", "network": "red/net", "mac": stage.guest_mac, "vtep": GOBGP_ADDRESS}
    stage.see(MAC, GO_RF, "used", lambda: stage.used(**there))
    stage.see(MAC4, GO_RF, "used", lambda: stage.used(**there, addresses=[GUEST[0]]))
    stage.see(MAC6, GO_RF, "used", lambda: stage.used(**there, addresses=[GUEST[1]]))
    flood = {"kind": "flood", "network": "red/net", "vtep": GOBGP_ADDRESS}
    stage.see(FLOOD, GO_RF, "used", lambda: stage.used(**flood))
    for row, prefix in zip((PREFIX4, PREFIX6), BEHIND, strict=True):
        wanted = {"kind": "prefix", "network": "tenant red", "vtep": GOBGP_ADDRESS}
        stage.see(row, GO_RF, "used", lambda w=wanted, p=prefix: stage.used(**w, addresses=[p]))


def test_gobgp_to_ringfence_behind_a_segment(stage: Stage) -> None:
    tail = f"rd {GOBGP_ADDRESS}:77 rt {ASN}:{stage.vni} encap vxlan"
    stage.gobgp.say(f"a-d {LACP} etag {0xFFFFFFFF} label 0 {tail} esi-label 0")
    stage.gobgp.say(f"a-d {LACP} etag 0 label {stage.vni} {tail}")
    stage.gobgp.say(f"macadv {stage.shared_mac} 0.0.0.0 {LACP} etag 0 label {stage.vni} {tail}")
    stage.gobgp.say(f"esi {GOBGP_ADDRESS} {LACP} {tail}")
    said = {"segment": SEGMENT, "vtep": GOBGP_ADDRESS}
    stage.see(WHOLE, GO_RF, "used", lambda: stage.used(**said, kind="discovery", mode="all-active"))
    stage.see(ALIAS, GO_RF, "used", lambda: stage.used(**said, kind="discovery", network="red/net"))
    stage.see(SHARED, GO_RF, "used", lambda: stage.used(**said, kind="mac", mac=stage.shared_mac))
    stage.see(MEMBER, GO_RF, "shown", lambda: stage.used(**said, kind="segment"))


def test_the_page_says_what_was_seen(stage: Stage) -> None:
    frr = re.search(r"FRRouting (\S+)", stage.frr.vtysh("show version"))
    assert frr is not None
    told = stage.seen.table(f"FRR {frr[1]}, GoBGP {stage.gobgp.version()}", ROWS, COLUMNS)
    done = stage.seen.table(f"Kernel of a host with FRR {frr[1]}", IN_KERNEL, KERNEL)
    assert_written(f"{told}\n\n{done}", BEGIN, END)
