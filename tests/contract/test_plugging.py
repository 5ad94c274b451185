"""Representors in a real Open_vSwitch database: put in, seen as ours, taken out, others left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.southbound.ovsdb.plugging import Plugging
from ipam.devices.plugs import Changes
from ipam.devices.serving import Fitted, Place
from model.errors import Conflict, Unavailable
from model.hardware import parse_pci
from model.ids import Mac, Uid
from tests.contract.ovs import PrivateOvs

A, B = Uid("0000000a-0000-4000-8000-000000000000"), Uid("0000000b-0000-4000-8000-000000000000")
PF = parse_pci("0000:18:00.0")
MACS = {A: Mac(0x0200000000AA), B: Mac(0x0200000000BB)}
PLACES: dict[str, Place] = {"rep1": (PF, 1), "rep2": (PF, 2)}


def attach(*pairs: tuple[str, Uid]) -> Changes:
    return Changes((), pairs, ())


@pytest.fixture
def plugging(own_ovs: PrivateOvs) -> Plugging:
    return Plugging(Path(own_ovs.remote.removeprefix("unix:")))


def test_representors_come_and_go_and_others_stay(own_ovs: PrivateOvs, plugging: Plugging) -> None:
    with pytest.raises(Unavailable):
        plugging.change(attach(("rep1", A)), MACS, PLACES)
    own_ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    words = ["--", "set", "Interface", "tap", "type=dummy", "external_ids:iface-id=x"]
    own_ovs.vsctl("--no-wait", "add-port", "br-int", "tap", *words)
    tap = Fitted("tap", "x")
    assert plugging.look() == (tap,)
    plugging.change(attach(("rep1", A), ("rep2", B)), MACS, PLACES)
    assert plugging.look() == (Fitted("rep1", A, (PF, 1)), Fitted("rep2", B, (PF, 2)), tap)
    assert own_ovs.vsctl("list-ports", "br-int").split() == ["rep1", "rep2", "tap"]
    assert "02:00:00:00:00:aa" in own_ovs.vsctl("get", "Interface", "rep1", "external_ids:attached-mac")
    plugging.change(Changes(("rep1", "tap"), (("rep1", B),), ()), MACS, {"rep1": (PF, 1)})
    assert plugging.look() == (Fitted("rep1", B, (PF, 1)), Fitted("rep2", B, (PF, 2)), tap)
    plugging.change(Changes(("rep1", "rep2"), (), ()), MACS, {})
    assert plugging.look() == (tap,)


def test_a_name_that_is_taken_refuses_all_of_it(own_ovs: PrivateOvs, plugging: Plugging) -> None:
    own_ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    own_ovs.vsctl("--no-wait", "add-port", "br-int", "rep2", "--", "set", "Interface", "rep2", "type=dummy")
    with pytest.raises(Conflict) as caught:
        plugging.change(attach(("rep1", A), ("rep2", B)), MACS, PLACES)
    assert caught.value.faults[0].rule == "plugs-refused"
    assert plugging.look() == ()
