"""VFs that serve ports: which may, whose they are, and that their hardware stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipam.gangs.booking import book
from model.errors import Conflict
from model.fabric import FabricKind
from model.gang import GangRequest, Use
from model.hardware import Eswitch, PfSlot, parse_pci
from model.ids import HostName
from model.outlet import Outlet, format_outlet, parse_outlet
from model.wanted import Kind, Reference, WantedPort, WantedSku
from tests.unit.ipam.test_hardware import fabric, faults, hosts, node, rules, sku, slot

FRONT = PfSlot("fe0", parse_pci("0000:05:00.0"), FabricKind.ETHERNET, vfs=4, eswitch=Eswitch.SWITCHDEV)
PLAIN = replace(FRONT, name="fe1", pci=parse_pci("0000:06:00.0"), eswitch=None)
VERBS = replace(FRONT, name="fe2", pci=parse_pci("0000:07:00.0"), kind=FabricKind.ROCE)


def front(name: str = "h200", pf: PfSlot = FRONT) -> WantedSku:
    return sku(name, slot(0), slot(1), pf, PLAIN, VERBS)


def port(name: str = "a", pf: str = "fe0", index: int = 3, at: tuple[str, ...] = ("hv1",), tenant="acme"):
    return WantedPort(tenant, name, "prod", hosts=tuple(map(HostName, at)), vf=(Outlet(pf, index),))


@pytest.fixture
def floor(bench):
    bench.apply(*hosts(), front(), front("same"), fabric(), node(), node("n2", "hv2"))
    return bench


def vf(bench, name: str = "a", tenant: str = "acme") -> Outlet | None:
    return bench.contents.ports[tenant, name].value.vf


def test_a_port_gets_its_vf_keeps_it_and_gives_it_back(floor) -> None:
    floor.apply(port())
    assert vf(floor) == Outlet("fe0", 3, Use.CONTAINER)
    floor.apply(WantedPort("acme", "a", "prod", rate_out=1000))
    assert vf(floor) == Outlet("fe0", 3), "what is not written stays"
    assert not floor.plan(port())
    floor.apply(WantedPort("acme", "a", "prod", vf=()))
    assert vf(floor) is None
    floor.apply(port("b", tenant="umbra"))


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (port(pf="fe9"), "vf-pf-unknown"),
        (port(pf="rail0"), "vf-on-rail"),
        (port(pf="fe1"), "vf-not-switchdev"),
        (port(pf="fe2"), "vf-not-ethernet"),
        (port(index=4), "vf-index"),
        (port(at=("hv1", "hv2")), "vf-one-host"),
        (port(at=()), "vf-one-host"),
        (port(at=("hv3",)), "vf-no-node"),
    ],
)
def test_what_can_serve_no_port_is_refused(floor, wanted: WantedPort, rule: str) -> None:
    assert rules(floor.plan, wanted) == [rule]


def test_a_vf_serves_one_port_of_a_host(floor) -> None:
    floor.apply(port())
    (fault,) = faults(floor.plan, port("b", tenant="umbra"))
    assert (fault.rule, fault.path) == ("already-taken", "spec.vf") and "Port acme/a" in fault.message
    assert rules(floor.plan, port("x"), port("y")) != []
    floor.apply(port("b", at=("hv2",), tenant="umbra"), port("c", index=2))
    # two ports may change theirs in one request, whatever their names' order
    floor.apply(port("a", index=2), port("c", index=3))
    assert (vf(floor).index, vf(floor, "c").index) == (2, 3)
    floor.delete(Reference(Kind.PORT, "a", "acme"))
    floor.apply(port("d", index=2))


def test_a_port_with_a_vf_stays_on_one_host(floor) -> None:
    floor.apply(port())
    both = (HostName("hv1"), HostName("hv2"))
    assert rules(floor.plan, WantedPort("acme", "a", "prod", hosts=both)) == ["vf-one-host"]
    floor.apply(WantedPort("acme", "a", "prod", hosts=both[1:]))
    floor.apply(port("b"))


@pytest.mark.parametrize(
    ("pf", "word"),
    [
        (replace(FRONT, vfs=3), "3 VFs"),
        (replace(FRONT, eswitch=Eswitch.LEGACY), "representors"),
        (replace(FRONT, pci=parse_pci("0000:0a:00.0")), "PCI address"),
    ],
)
def test_the_pf_under_it_stays(floor, pf: PfSlot, word: str) -> None:
    floor.apply(front(pf=pf))
    floor.apply(front())
    floor.apply(port())
    (fault,) = faults(floor.plan, front(pf=pf))
    assert (fault.rule, fault.path) == ("held-by-port", "spec.pfs"), fault
    assert word in fault.message and "Port acme/a" in fault.message
    floor.apply(front(pf=pf), WantedPort("acme", "a", "prod", vf=()))


def test_more_vfs_hurt_nobody(floor) -> None:
    floor.apply(port())
    floor.apply(front(pf=replace(FRONT, vfs=8)))
    floor.apply(front(pf=replace(FRONT, vfs=4)))


@pytest.mark.parametrize("change", [{"sku": "same"}, {"host": HostName("hv3")}])
def test_the_node_under_it_stays(floor, change) -> None:
    floor.apply(port())
    found = faults(floor.plan, node(**change))
    assert [fault.rule for fault in found] == ["held-by-port"], found
    with pytest.raises(Conflict) as caught:
        floor.delete(Reference(Kind.NODE, "n1"))
    assert [f.rule for f in caught.value.faults] == ["still-used"]
    floor.delete(Reference(Kind.NODE, "n1"), Reference(Kind.PORT, "a", "acme"))


def test_the_agent_under_it_stays(floor) -> None:
    floor.apply(port())
    found = faults(floor.plan, replace(hosts()[0], external=True))
    assert [(fault.rule, fault.path) for fault in found] == [("held-by-port", "spec.external")]
    with pytest.raises(Conflict):
        floor.delete(Reference(Kind.HYPERVISOR, "hv1"))


def test_no_gang_gets_a_vf_that_a_port_may_have(floor) -> None:
    """Of all VFs that a gang can be given, on every node, none is of a PF of ports."""
    gang = book(floor.contents, GangRequest("acme", "all", "east", nodes=("n1", "n2"), each=8), floor.now)
    pfs = {i.pf for berth in gang.berths for i in berth.interfaces}
    assert pfs == {"rail0", "rail1"} and all(rules(floor.plan, port(pf=pf)) == ["vf-on-rail"] for pf in pfs)


def test_the_stores_text() -> None:
    for outlet in (Outlet("fe0", 3), Outlet("a-b", 0, Use.VM)):
        assert parse_outlet(format_outlet(outlet)) == outlet
    for text in ("", "fe0", "fe0/3", "fe0/3/", "/3/vm", "fe0/256/vm", "fe0/-1/vm", "fe0/3/vm/x", "fe0/x/vm"):
        with pytest.raises(ValueError):
            parse_outlet(text)
