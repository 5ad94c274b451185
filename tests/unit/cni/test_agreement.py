"""What the agent writes is what the plugin reads: both kinds of fabric, all states, a VF that is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from controller.agent.berthing import document
from controller.agent.settling import Settled
from controller.cni.berths import parse
from controller.store.moorings import Mooring
from ipam.devices.found import FoundPf, FoundVf
from model.bearing import HostPart, Reached
from model.fabric import FabricKind
from model.gang import GangState
from model.hardware import parse_pci
from tests.fakes.host import HOST, NICS, mooring, moorings
from tests.unit.cni.conftest import Desk

S = GangState


def write(desk: Desk, gang: Mooring, kind: FabricKind, reached: Reached = Reached.UP) -> None:
    """As an agent that has seen VF 1 of the first NIC, and not of the second."""
    seen = FoundVf(1, parse_pci("0000:18:00.3"), {})
    found = FoundPf(parse_pci(NICS[0]), "mlx5_core", 8, {}, (seen,))
    part = HostPart(gang.generation, gang.progress.state, gang.progress.begun, reached)
    said = document(moorings(gang, kind=kind), Settled((part,), (found,)), HOST, 5)
    desk.berths.write_text(json.dumps(said), encoding="utf-8")


def addressed(gang: Mooring) -> Mooring:
    first, second = gang.berth.interfaces
    first = replace(first, addresses=(ip_address("10.64.1.3"), ip_address("fd00::1:3")))
    return replace(gang, berth=replace(gang.berth, interfaces=(first, second)))


def test_a_roce_gang(desk: Desk) -> None:
    write(desk, addressed(mooring(7, S.ACTIVE)), FabricKind.ROCE)
    code, answer = desk.ask("ADD", "c1", {"args": {"cni": {"rail": "r0"}}})
    assert code == 0, answer
    assert answer["ips"] == [
        {"address": "10.64.1.3/31", "gateway": "10.64.1.2"},
        {"address": "fd00::1:3/127", "gateway": "fd00::1:2"},
    ]
    assert desk.held() == ["0000:18:00.3.json"]
    code, message = desk.refused("ADD", "c2", {"args": {"cni": {"rail": 1}}})
    assert (code, "not there" in message) == (11, True)


def test_an_infiniband_gang(desk: Desk) -> None:
    write(desk, addressed(mooring(7, S.ACTIVE, kind=FabricKind.INFINIBAND)), FabricKind.INFINIBAND)
    first, second = parse(desk.berths.read_bytes())
    assert (first.pkey, second.pkey, first.mac, second.pci) == (0x10, 0x10, "", "")
    assert second.port_guid == 0x0200000000000213
    config = {"args": {"cni": {"guid": f"{first.port_guid:016x}"}}}
    assert desk.given("c1", config)[0].startswith("10.64.1.3/")


@pytest.mark.parametrize("reached", [Reached.NOTHING, Reached.SET, Reached.PARKED])
def test_a_host_whose_devices_are_not_up(desk: Desk, reached: Reached) -> None:
    """The gang was active, and the host was started anew, say."""
    write(desk, addressed(mooring(7, S.ACTIVE)), FabricKind.ROCE, reached)
    code, message = desk.refused("ADD", "c1", {"args": {"cni": {"rail": 0}}})
    assert (code, reached.value in message) == (11, True)
    assert desk.refused("STATUS")[0] == 50


@pytest.mark.parametrize("state", [S.RESERVED, S.PROGRAMMED, S.VERIFIED, S.RELEASING, S.FAILED])
def test_a_gang_that_is_not_active(desk: Desk, state: GangState) -> None:
    write(desk, addressed(mooring(7, state, S.ACTIVE)), FabricKind.ROCE)
    code, message = desk.refused("ADD", "c1", {"args": {"cni": {"rail": 0}}})
    assert (code, state.value in message) == (11, True)


def test_an_interface_without_addresses(desk: Desk) -> None:
    """A rail without subnets: nothing for an IPAM to say."""
    write(desk, mooring(7, S.ACTIVE), FabricKind.ROCE)
    code, message = desk.refused("ADD", "c1", {"args": {"cni": {"rail": 0}}})
    assert (code, "no addresses" in message) == (7, True)
    assert desk.held() == []
