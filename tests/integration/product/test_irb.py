"""Symmetric IRB with FRR in a kernel VRF (RFC 9135): two tenants with the same addresses, on the same hosts.

Real FRR, with the kernel's VXLAN and VRFs: vrf.ko is in the guest only. Both sides route, under the tenant's
L3VNI. The table in docs/evpn.md is what this file saw: the last test compares them.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.product.matrix import Matrix, assert_written
from topologies.deadline import until
from topologies.errors import LabError
from topologies.nodes.frr import UPLINK
from topologies.nodes.hypervisor import attach, detach
from topologies.nodes.vm import Vm
from topologies.scenarios import irb as scenario
from topologies.scenarios.irb import (
    BEHIND_RED,
    BEYOND,
    CONNECTED,
    FLOATING,
    FURTHER,
    STATIC,
    STATICS,
    WORLD,
    Irb,
)
from topologies.scenarios.routed import Routed
from topologies.scenarios.two_tenants import TENANTS, Workload
from topologies.traffic.capture import Capture, Frame, beacon, contains, incoming
from topologies.traffic.ping import ping

pytestmark = [pytest.mark.integration, pytest.mark.guest]

BEGIN, END = "<!-- VRF: as test_irb.py saw it -->", "<!-- end of VRF -->"
FAMILIES = (4, 6)
SENT = 64
VTEP, ROUTER = "172.16.0.1", "0e:52:ac:10:00:01"
"""Of hv1, where the first VM of both tenants is; a router's MAC follows from the router id (RFC 9135)."""
PATIENCE = 60.0
OUTER = 14 + 20 + 8
"""Ethernet, IPv4 and UDP in front of the VXLAN header (RFC 7348 section 5)."""
ROUTES, NEIGHBOURS, FDB, USED, PING, DOWN = (
    "`ip route`",
    "`ip neigh`",
    "`bridge fdb`",
    "Ringfence",
    "ping, IPv4 and IPv6",
    "port down",
)
HOST, ROUTE, FLOAT = "RT-2, both labels and router MAC", "RT-5, static route", "RT-5, floating IP"
LINK = "RT-5, connected prefix"
ROWS = (HOST, LINK, ROUTE, FLOAT)
COLUMNS = (ROUTES, NEIGHBOURS, FDB, USED, PING, DOWN)


@dataclass(frozen=True)
class Stage:
    """`seen`: each cell in both IP versions."""

    irb: Irb
    seen: Matrix = field(default_factory=lambda: Matrix(PATIENCE))

    def first(self, tenant: str) -> Workload:
        return self.irb.routed.base.at(tenant, "hv1")

    def see(self, row: str, column: str, what: str, condition: Callable[[], object]) -> None:
        try:
            self.seen.see(row, column, what, condition)
        except LabError as error:
            raise LabError(f"{error}\n{tables(self.irb)}") from error

    def listed(self, what: str) -> list[dict[str, Any]]:
        """`ringfence evpn WHAT` of hv1."""
        done = self.irb.routed.base.control.run("evpn", what, "--host", "hv1", "-o", "json")
        assert done.ok, done.stderr
        return list(json.loads(done.stdout)["items"])

    def leads(self, vrf: str, prefix: str) -> bool:
        """Whether a route of the VRF in FRR's kernel leads to hv1 by the L3VNI."""
        six = ":" in prefix
        shown = self.irb.frr.run(f"ip -{6 if six else 4} route show vrf {vrf} {prefix}")
        hop = f"::ffff:{VTEP}" if six else VTEP
        return bool(re.search(rf"via (inet6 )?{hop} dev br{self.irb.vnis[vrf]} proto bgp .*onlink", shown))

    def beside(self, vrf: str, six: bool) -> bool:
        """Whether FRR's kernel knows the router MAC of hv1."""
        hop = f"::ffff:{VTEP}" if six else VTEP
        shown = self.irb.frr.run(f"ip neigh show {hop} dev br{self.irb.vnis[vrf]}")
        return f"lladdr {ROUTER}" in shown and "extern_learn" in shown

    def behind(self, vrf: str) -> bool:
        """Whether FRR's kernel knows the VTEP behind that MAC."""
        shown = self.irb.frr.run(f"bridge fdb show dev vx{self.irb.vnis[vrf]}").splitlines()
        return any(x.startswith(f"{ROUTER} dst {VTEP} ") and "extern_learn" in x for x in shown)


def tables(irb: Irb) -> str:
    """What FRR's kernel and its bgpd hold, for a test that failed."""
    shown = []
    for vrf, vni in irb.vnis.items():
        words = [f"ip -{version} route show vrf {vrf}" for version in FAMILIES]
        for asked in (*words, f"ip neigh show vrf {vrf}", f"bridge fdb show dev vx{vni}"):
            shown += [f"# {asked}", irb.frr.run(asked)]
    return "\n".join([*shown, irb.frr.vtysh("show evpn vni", "show bgp l2vpn evpn")])


@pytest.fixture(scope="module")
def stage(routing_lab: Routed) -> Stage:
    return Stage(scenario.extend(routing_lab))


def passes(pairs: list[tuple[Vm, str]]) -> bool:
    return all(ping(here, to, 2, wait=0.5).complete for here, to in pairs)


def test_our_routes_are_in_the_kernels_vrf(stage: Stage) -> None:
    rows = (
        (HOST, "vrf-red", stage.first("red").addresses),
        (ROUTE, "vrf-red", STATICS),
        (FLOAT, f"vrf-{scenario.OUTSIDE}", FLOATING),
    )
    for row, vrf, prefixes in rows:

        def leads(vrf: str = vrf, prefixes: tuple[str, ...] = prefixes) -> bool:
            return all(stage.leads(vrf, prefix) for prefix in prefixes)

        def beside(vrf: str = vrf) -> bool:
            return all(stage.beside(vrf, six) for six in (False, True))

        stage.see(row, ROUTES, "prefix via VTEP, proto bgp", leads)
        stage.see(row, NEIGHBOURS, "VTEP lladdr router MAC, extern_learn", beside)
        stage.see(row, FDB, "router MAC dst VTEP, extern_learn", lambda v=vrf: stage.behind(v))


def test_its_routes_are_used(stage: Stage) -> None:
    """RT-2 with both labels, and RT-5; what lies in a network of the tenant's own stays refused."""
    away, frr = stage.irb.away["red"], stage.irb.frr
    wanted = {"kind": "mac", "network": "red/away", "mac": away.mac, "vtep": frr.address}

    def host() -> bool:
        return any(
            all(item[key] == value for key, value in wanted.items())
            and set(away.addresses) <= set(item["addresses"])
            and item["became"]
            for item in stage.listed("routes")
        )

    def prefix(prefixes: tuple[str, ...]) -> bool:
        used = {
            tuple(item["addresses"])
            for item in stage.listed("routes")
            if item["became"]
            and (item["kind"], item["network"], item["vtep"], item["mac"])
            == ("prefix", "tenant red", frr.address, stage.irb.macs["vrf-red"])
        }
        return {(p,) for p in prefixes} <= used

    stage.see(HOST, USED, "used, with flows", host)
    stage.see(LINK, USED, "used, with flows", lambda: prefix(CONNECTED))
    stage.see(ROUTE, USED, "used, with flows", lambda: prefix(STATIC))
    refused = {
        (r["network"], r["code"]) for r in stage.listed("rejected") if scenario.SUBNETS[0] in r["route"]
    }
    assert refused == {("tenant red", "prefix-own"), ("tenant blue", "egress-closed")}


def test_packets_pass_both_ways(stage: Stage) -> None:
    red, blue, irb = stage.first("red"), stage.first("blue"), stage.irb
    for tenant in TENANTS:
        one, other = stage.first(tenant), irb.away[tenant]
        there = [(one.vm, a) for a in other.addresses] + [(other.vm, a) for a in one.addresses]
        stage.see(HOST, PING, "pass, both ways", lambda p=there: passes(p))
    connected = [(red.vm, a) for a in BEYOND] + [(irb.beyond, a) for a in red.addresses]
    stage.see(LINK, PING, "pass, both ways", lambda: passes(connected))
    static = [(red.vm, a) for a in FURTHER] + [(irb.away["red"].vm, a) for a in BEHIND_RED]
    stage.see(ROUTE, PING, "pass, both ways", lambda: passes(static))
    floating = [(irb.world, a) for a in FLOATING] + [(blue.vm, a) for a in WORLD]
    stage.see(FLOAT, PING, "pass, both ways", lambda: passes(floating))


def inner(frame: Frame, vni: int) -> bytes | None:
    """The frame in a VXLAN packet of this VNI; None for any other frame."""
    raw = frame.raw
    if raw[12:14] != b"\x08\x00" or raw[23] != 17 or raw[OUTER - 6 : OUTER - 4] != (4789).to_bytes(2, "big"):
        return None
    return raw[OUTER + 8 :] if raw[OUTER + 4 : OUTER + 7] == vni.to_bytes(3, "big") else None


def life(raw: bytes) -> int:
    """TTL or hop limit."""
    return raw[14 + (8 if raw[12:14] == b"\x08\x00" else 7)]


@pytest.mark.parametrize("family", FAMILIES)
def test_on_the_wire_it_is_the_l3vni_and_the_others_router_mac(stage: Stage, family: int) -> None:
    """RFC 9135 section 5: each router takes one hop; between them the frame is a router's to a router."""
    red, away, vni = stage.first("red"), stage.irb.away["red"], stage.irb.vnis["vrf-red"]
    assert ping(red.vm, away.addresses[family // 6], 2).reached
    ways = ((red, away, stage.irb.macs["vrf-red"], ROUTER), (away, red, ROUTER, stage.irb.macs["vrf-red"]))
    for here, there, to, by in ways:
        mark = os.urandom(16)
        with Capture(stage.irb.frr, UPLINK) as wire, Capture(there.vm) as end:
            beacon(here.vm, there.addresses[family // 6], mark)()
            arrived = end.await_frame(incoming(contains(mark)))
            crossed = inner(wire.await_frame(contains(mark)), vni)
        assert crossed is not None, "not under the L3VNI"
        assert (crossed[0:6].hex(":"), crossed[6:12].hex(":")) == (to, by)
        assert (life(crossed), life(arrived.raw)) == (SENT - 1, SENT - 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_tenant_sees_nothing(stage: Stage, family: int) -> None:
    """Both tenants have these very addresses, on the same two hosts, in VRFs of one kernel."""
    at, mark, control = family // 6, os.urandom(16), b"this-is-a-control"
    sees = incoming(contains(control))
    pairs = {t: (stage.first(t), stage.irb.away[t]) for t in TENANTS}
    for attackers, victims in ((pairs["red"], pairs["blue"]), (pairs["blue"], pairs["red"])):
        with Capture(victims[0].vm) as near, Capture(victims[1].vm) as far:
            known = ((near, beacon(victims[1].vm, victims[0].addresses[at], control)),
                     (far, beacon(victims[0].vm, victims[1].addresses[at], control)))  # fmt: skip
            for capture, send in known:
                capture.confirm(send, sees)
            for here, there in (attackers, attackers[::-1]):
                with Capture(there.vm) as own:
                    own.confirm(beacon(here.vm, there.addresses[at], mark), incoming(contains(mark)))
            for capture, send in known:
                capture.confirm(send, sees)
                assert capture.leaks(contains(mark)) == ()
    for address in (BEYOND[at], FURTHER[at]):  # red's alone; it was seen to reach them
        assert not ping(stage.first("blue").vm, address, 2, wait=0.5).reached
    assert not ping(stage.first("red").vm, WORLD[at], 2, wait=0.5).reached


def test_a_port_that_goes_takes_its_host_routes_along(stage: Stage) -> None:
    red, host = stage.first("red"), stage.irb.routed.lab.node("hv1")
    mine = (*red.addresses, *STATICS)
    assert all(stage.leads("vrf-red", prefix) for prefix in mine)
    detach(host, red.ifname)
    try:
        for row, prefixes in ((HOST, red.addresses), (ROUTE, STATICS)):
            stage.see(row, DOWN, "gone", lambda p=prefixes: not any(stage.leads("vrf-red", x) for x in p))
        assert not ping(stage.irb.away["red"].vm, red.ipv4, 1, wait=0.5).reached
        assert stage.leads(f"vrf-{scenario.OUTSIDE}", FLOATING[0])  # blue's stays
    finally:
        attach(host, red.ifname, red.uid, red.mac)
    until(
        "the host routes are back", lambda: all(stage.leads("vrf-red", prefix) for prefix in mine), PATIENCE
    )
    back = [(stage.irb.away["red"].vm, a) for a in red.addresses]
    until("packets pass again", lambda: passes(back), PATIENCE)


def test_the_page_says_what_was_seen(stage: Stage) -> None:
    frr = re.search(r"FRRouting (\S+)", stage.irb.frr.vtysh("show version"))
    assert frr is not None
    title = f"FRR {frr[1]}, VRF in Linux {platform.release().partition('-')[0]}"
    assert_written(stage.seen.table(title, ROWS, COLUMNS), BEGIN, END)
