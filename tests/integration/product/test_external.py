"""A host with FRR, kernel VXLAN and a bridge, and no agent: its declared VMs take part, and nobody else's.

Real FRR, real kernel VXLAN. Its RT-2 are believed by declaration: the port's `hosts` name an external
Hypervisor.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.integration.product.witness import Witness, vni
from topologies.deadline import until
from topologies.nodes.frr import FrrHost
from topologies.scenarios.routed import Routed
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

_STRANGER = "02:5f:00:00:00:01"


@pytest.fixture(scope="module")
def scenario(routing_lab: Routed) -> TwoTenants:
    """More networks than are needed here, and so the lab of others, too."""
    return routing_lab.base


def items(scenario: TwoTenants, what: str, host: str) -> list[dict[str, Any]]:
    done = scenario.control.run("evpn", what, "--host", host, "-o", "json")
    assert done.ok, done.stderr
    return list(json.loads(done.stdout)["items"])


def external(scenario: TwoTenants) -> FrrHost:
    (host,) = scenario.lab.frr_hosts
    return host


@pytest.mark.parametrize("tenant", ["red", "blue"])
def test_its_routes_are_learned_by_declaration(scenario: TwoTenants, tenant: str) -> None:
    outside = scenario.at(tenant, "frr1")
    for host in ("hv1", "hv2"):

        def learned(host: str = host) -> bool:
            return any(
                (r["kind"], r["network"], r["mac"], r["vtep"], r["port"])
                == ("mac", f"{tenant}/net", outside.mac, external(scenario).address, outside.port)
                and set(r["addresses"]) == set(outside.addresses)
                for r in items(scenario, "routes", host)
            )

        until(f"{host} has learned the port with its addresses", learned, 30)


@pytest.mark.parametrize("tenant", ["red", "blue"])
@pytest.mark.parametrize("family", [4, 6])
def test_it_is_reached_and_reaches_both_hosts(scenario: TwoTenants, tenant: str, family: int) -> None:
    outside = scenario.at(tenant, "frr1")
    for host in ("hv1", "hv2"):
        inside = scenario.at(tenant, host)
        for here, there in ((inside, outside), (outside, inside)):
            address = there.ipv4 if family == 4 else there.ipv6
            assert ping(here.vm, address, 3).complete, f"{here.name} to {address}"
            with UdpStream(here.vm, there.vm, address, rate=500, size=1000, limit=100) as stream:
                result = stream.finish()
            assert (result.sent, result.lost, result.duplicates) == (100, 0, 0), result
            tcp = transfer(here.vm, there.vm, address, 300_000)
            assert tcp.intact, f"{here.name} to {address}: {tcp}"


def test_a_hostile_vm_does_not_reach_the_other_tenants_vm_there(scenario: TwoTenants) -> None:
    """The attacker is on hv1, the victim of the same addresses on the FRR host; and the other way round."""
    for attacker, victim, friend in (
        (scenario.at("red", "hv1"), scenario.at("blue", "frr1"), scenario.at("blue", "hv1")),
        (scenario.at("red", "frr1"), scenario.at("blue", "hv1"), scenario.at("blue", "frr1")),
    ):
        mark = os.urandom(16)
        with Witness((victim,), {victim.name: friend}) as witness:
            witness.control()
            inject(attacker.vm, "eth0", [frame(attacker, mac, mark) for mac in (victim.mac, "ff" * 6)])
            witness.control()
            assert witness.places(mark) == {}


def frame(source: Workload, mac: str, mark: bytes) -> bytes:
    """A frame of a local experimental ethertype (IEEE 802)."""
    octets = [bytes.fromhex(m.replace(":", "")) for m in (mac, source.mac)]
    return b"".join(octets) + b"\x88\xb5" + mark + bytes(40)


def test_an_undeclared_vm_there_is_refused_and_listed(scenario: TwoTenants) -> None:
    host, control = external(scenario), scenario.control
    stranger = scenario.lab.vm("stranger")
    known = items(scenario, "routes", "hv1")
    host.plug(stranger, "tap-stranger", vni(scenario, "red"), _STRANGER, ["10.0.0.66/24", "fd00:10::66/64"])

    def refused() -> list[dict[str, Any]]:
        found = items(scenario, "rejected", "hv1")
        return [r for r in found if _STRANGER in r["route"] and "10.0.0.66" in r["route"]]

    def speaks() -> list[dict[str, Any]]:
        # FRR tells of a MAC that its bridge has heard.
        ping(stranger, scenario.at("red", "hv1").ipv4, 1, wait=0.2)
        return refused()

    listed = until("refused and listed", speaks, 30)
    assert all("no such port; create the port" in r["reason"] and "red/net" in r["reason"] for r in listed)
    assert items(scenario, "routes", "hv1") == known
    assert not ping(scenario.at("red", "hv1").vm, "10.0.0.66", 1, wait=0.5).reached
    assert not ping(scenario.at("red", "hv1").vm, "fd00:10::66", 1, wait=0.5).reached

    def alarmed() -> bool:
        alarms = json.loads(control.run("status", "-o", "json").stdout)["alarms"]
        return any(a["object"] == "Hypervisor hv1" and "refused" in a["message"] for a in alarms)

    until("an alarm, with the host's next report", alarmed, 30)
    # Those that are declared go on as before.
    outside = scenario.at("red", "frr1")
    assert ping(scenario.at("red", "hv1").vm, outside.ipv4, 3).complete
