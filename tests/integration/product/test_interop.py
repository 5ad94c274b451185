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
from pathlib import Path
from typing import Any

import pytest

from topologies.deadline import until
from topologies.errors import LabError
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

PAGE = Path(__file__).resolve().parents[3] / "docs" / "evpn.md"
BEGIN, END = (
    "<!-- matrix: as test_interop.py saw it -->",
    "<!-- end of matrix -->",
)
GOBGP, GOBGP_ADDRESS = "gobgp1", "172.16.0.130"
GUEST = ("10.0.0.77", "fd00:10::77")
BEHIND = ("198.18.7.0/24", "2001:db8:77::/48")
"""What GoBGP leads to."""
STATIC = ("172.20.1.0/24", "fd00:20::/48")
"""What red's first VM leads to."""
ROUTER = "02:77:00:00:00:01"
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
BRIDGED, ROUTED = "ping within the network, IPv4 and IPv6", "ping through the L3VNI, IPv4 and IPv6"
ROWS = (MAC, MAC4, MAC6, IRB, FLOOD, PREFIX4, PREFIX6, BRIDGED, ROUTED)
NEVER = "-"
FAILED = "NOT SEEN"


@dataclass
class Stage:
    """`cells`: (row, column) -> what was seen."""

    scenario: Bordered
    gobgp: GobgpNode
    guest_mac: str
    vni: int
    cells: dict[tuple[str, str], str] = field(default_factory=dict)

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
        """Note `what` once the condition holds; fails, and notes that, if it never does."""
        try:
            until(f"{column}: {row}", condition, PATIENCE)
        except LabError:
            self.cells[row, column] = FAILED
            raise
        self.cells[row, column] = what

    def used(self, **wanted: Any) -> bool:
        """Whether hv1 uses a route with these fields (`addresses`: at least those)."""
        done = self.scenario.base.control.run("evpn", "routes", "--host", "hv1", "-o", "json")
        assert done.ok, done.stderr
        addresses = set(wanted.pop("addresses", ()))
        return any(
            all(item[key] == value for key, value in wanted.items()) and addresses <= set(item["addresses"])
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
    spec = {"vtep": GOBGP_ADDRESS, "external": True, "border": True}
    red = scenario.base.at("red", "hv1")
    control.apply(
        [
            document("Hypervisor", GOBGP, None, spec),
            document("Port", "far", "red", {"network": "net", "addresses": list(GUEST), "hosts": [GOBGP]}),
            document("Route", "four", "red", {"prefix": STATIC[0], "nextHops": [red.ipv4]}),
            document("Route", "six", "red", {"prefix": STATIC[1], "nextHops": [red.ipv6]}),
        ]
    )
    ports = {p["metadata"]["name"]: p for p in control.get("ports", "--tenant", "red")}
    vni = next(int(n["spec"]["vni"]) for n in control.get("networks") if n["metadata"]["tenant"] == "red")
    node = GobgpNode(GOBGP, lab.cell, lab.directory, f"{GOBGP_ADDRESS}/24")
    lab.add(node)
    segment = lab.nodes[BRIDGE]
    link(End(node, UPLINK), End(segment, GOBGP), UNDERLAY_MTU)
    segment.attach(GOBGP)  # type: ignore[attr-defined]
    node.start(ASN, [r.address for r in lab.reflectors])
    return Stage(scenario, node, ports["far"]["spec"]["mac"], vni)


def document(kind: str, name: str, tenant: str | None, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"tenant": tenant} if tenant else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def test_ringfence_to_frr_bridged(stage: Stage) -> None:
    frr, red = stage.frr, stage.red

    def fdb() -> list[str]:
        return frr.run(f"bridge fdb show dev vx{stage.vni}").splitlines()

    def neighbour(address: str) -> bool:
        shown = frr.run(f"ip neigh show {address} dev br{stage.vni}")
        return red.mac in shown and "extern_learn" in shown

    entry = f"{red.mac} dst 172.16.0.1 "
    stage.see(
        MAC, RF_FRR, "kernel FDB", lambda: any(x.startswith(entry) and "extern_learn" in x for x in fdb())
    )
    stage.see(MAC4, RF_FRR, "kernel neighbour", lambda: neighbour(red.ipv4))
    stage.see(MAC6, RF_FRR, "kernel neighbour", lambda: neighbour(red.ipv6))
    stage.see(
        FLOOD,
        RF_FRR,
        "kernel FDB",
        lambda: any(x.startswith("00:00:00:00:00:00 dst 172.16.0.1 ") for x in fdb()),
    )


def test_ringfence_to_frr_routed(stage: Stage) -> None:
    """FRR's L3VNI in its default VRF: a host route, and the router MAC behind it."""
    border, red, bridge = stage.scenario.border, stage.red, f"br{stage.scenario.l3vni}"

    def routed() -> bool:
        shown = border.run(f"ip route show {red.ipv4}")
        beyond = border.run(f"ip neigh show 172.16.0.1 dev {bridge}")
        mac = re.search(r"lladdr (\S+)", beyond)
        fdb = border.run(f"bridge fdb show dev vx{stage.scenario.l3vni}")
        return (
            f"via 172.16.0.1 dev {bridge} proto bgp" in shown
            and mac is not None
            and f"{mac[1]} dst 172.16.0.1 " in fdb
        )

    stage.see(IRB, RF_FRR, "kernel route, neighbour, FDB", routed)
    for row, prefix in ((PREFIX4, STATIC[0]), (PREFIX6, STATIC[1])):
        stage.see(
            row,
            RF_FRR,
            "kernel route",
            lambda p=prefix: "proto bgp" in border.run(f"ip -{6 if ':' in p else 4} route show {p}"),
        )


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
        return all(ping(here, address, 2, wait=0.5).complete for address in there)

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


def test_the_page_says_what_was_seen(stage: Stage) -> None:
    frr = re.search(r"FRRouting (\S+)", stage.frr.vtysh("show version"))
    assert frr is not None
    versions = f"FRR {frr[1]}, GoBGP {stage.gobgp.version()}"
    rows = [f"| {versions} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    rows += [f"| {row} | {' | '.join(stage.cells.get((row, c), NEVER) for c in COLUMNS)} |" for row in ROWS]
    seen = "\n".join(rows)
    print(seen)
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert written == seen, f"write this into {PAGE.name}:\n{seen}"
