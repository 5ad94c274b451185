"""What a gang holds, or what cools down of it, keeps the hardware under it as it is."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from ipam.draft import Draft
from ipam.gangs.booking import book
from model.errors import Conflict, RingfenceError
from model.fabric import Addressing, FabricKind, RailIndex
from model.gang import Gang, GangRequest
from model.hardware import parse_pci
from model.wanted import Kind, Reference, WantedSku, WantedTenant
from tests.unit.ipam.test_hardware import fabric, hosts, node, sku, slot

SLOW = 600


class Floor:
    """Two nodes of a SKU on a fabric, and gangs there."""

    def __init__(self, bench, **more) -> None:
        self.bench = bench
        bench.apply(WantedTenant("acme"), WantedTenant("umbra"), *hosts(), sku(), sku("other"))
        bench.apply(
            fabric(**more),
            fabric("west", pkeys=range(0x5000, 0x6000), guids=(range(2 << 56, (2 << 56) + 99),)),
        )
        bench.apply(node(), node("n2", "hv2"))

    def reserve(self, name: str = "job", tenant: str = "acme", **more) -> Gang:
        asked = {"fabric": "east", "nodes": ("n1",), **more}
        made = book(self.bench.contents, GangRequest(tenant, name, **asked), self.bench.now)
        draft = Draft(self.bench.contents)
        draft.put_gang(made)
        draft.set_cluster(replace(draft.cluster, generation=made.generation))
        self.bench.contents = draft.contents()
        return made

    def release(self, gang: Gang) -> None:
        draft = Draft(self.bench.contents)
        draft.put_gang(gang, self.bench.now + 1000 * SLOW)
        self.bench.contents = draft.contents()

    def refused(self, *wanted):
        with pytest.raises(RingfenceError) as caught:
            self.bench.plan(*wanted)
        assert isinstance(caught.value, Conflict)
        return [f for f in caught.value.faults if f.rule == "held-by-gang"]


@pytest.fixture
def floor(bench) -> Floor:
    return Floor(bench)


CHANGES = (
    (node(sku="other"), "spec.sku"),
    (node(fabric="west"), "spec.fabric"),
    (node(host="hv3"), "spec.host"),
    (sku("h200", slot(0, vfs=0), slot(1)), "spec.pfs[0].vfs"),
    (sku("h200", slot(0), slot(1, pkeys=1)), "spec.pfs[1].pkeys"),
    (sku("h200", slot(0), slot(1, pci=parse_pci("99:00.0"))), "spec.pfs[1].pci"),
    (sku("h200", slot(0)), "spec.pfs"),
    (sku("h200", slot(0), slot(1, gpu=None), gpus=1), "spec.gpus"),
)


@pytest.mark.parametrize(("wanted", "path"), CHANGES)
def test_a_live_gang_keeps_what_is_under_it(floor: Floor, wanted, path: str) -> None:
    gang = floor.reserve(gpus=2)
    (found,) = floor.refused(wanted)
    assert found.path == path
    assert "Gang acme/job has interfaces on Node n1" in found.message
    assert "ringfence gang release job --tenant acme" in found.remedy
    floor.release(gang)
    (found,) = floor.refused(wanted)
    assert "what Gang acme/job had on Node n1 cools down" in found.message
    assert found.remedy == "Wait until 1970-01-01T00:26:40Z, and apply it again."


@pytest.mark.parametrize(
    ("wanted", "path"), [each for each in CHANGES if each[1] not in {"spec.pfs", "spec.gpus"}]
)
def test_what_has_cooled_down_or_is_elsewhere_holds_nothing(floor: Floor, wanted, path: str) -> None:
    gang = floor.reserve()
    floor.release(gang)
    floor.bench.now += 1000 * SLOW
    assert floor.bench.plan(replace(wanted, gpus=sku().gpus) if isinstance(wanted, WantedSku) else wanted)


def test_only_what_is_really_taken_is_refused(floor: Floor) -> None:
    floor.reserve(rails=(RailIndex(1),), each=2)
    assert floor.bench.plan(
        sku("h200", slot(0, vfs=0, pkeys=1, pci=parse_pci("99:00.0")), slot(1, vfs=2, pkeys=2))
    )
    assert floor.refused(sku("h200", slot(0), slot(1, vfs=1)))
    assert floor.bench.plan(node("n2", "hv2", sku="other"), node("n3", "hv3"))
    assert floor.bench.plan(node(leaves=(("rail0", "leaf7"),)))


def test_two_tenants_need_three_entries(floor: Floor) -> None:
    floor.reserve()
    floor.reserve(tenant="umbra")
    floor.reserve("more")
    (found,) = floor.refused(sku("h200", slot(0, pkeys=2), slot(1)))
    assert "Gang acme/job, Gang acme/more, Gang umbra/job have interfaces there" in found.message
    assert floor.bench.plan(sku("h200", slot(0, pkeys=3), slot(1)))


def test_of_many_gangs_three_are_named(floor: Floor) -> None:
    for number in range(5):
        floor.reserve(f"j{number}")
    (found,) = floor.refused(node(host="hv3"))
    assert found.message == (
        "its host would become hv3 instead of hv1, and Gang acme/j0, Gang acme/j1, Gang acme/j2 and 2 more "
        "have interfaces there"
    )


def test_addresses_that_follow_from_slots_do_not_move(bench) -> None:
    """Of node addressing: the second VF of a PF has its address behind the first ones of all PFs."""
    floor = Floor(bench, addressing=Addressing.NODE)
    floor.reserve(rails=(RailIndex(0),))
    twin = slot(2, rail=RailIndex(0), gpu=None)
    (found,) = floor.refused(sku("h200", slot(0), slot(1), twin))
    assert (found.path, "2 PFs instead of 1 would be on rail 0" in found.message) == ("spec.pfs", True)
    assert floor.bench.plan(sku("h200", slot(0), slot(1), replace(twin, rail=RailIndex(1))))


def test_by_tenant_a_pf_may_be_added(floor: Floor) -> None:
    floor.reserve()
    assert floor.bench.plan(sku("h200", slot(0), slot(1), slot(2, rail=RailIndex(0), gpu=None)))


def test_addresses_in_use_are_not_excluded(floor: Floor) -> None:
    gang = floor.reserve()
    used = ip_network(gang.berths[0].interfaces[0].addresses[-1])
    (found,) = floor.refused(fabric(excluded=(ip_network("10.128.9.0/24"), used)))
    assert (found.path, "Gang acme/job has interfaces on Node n1" in found.message) == ("spec.excluded", True)
    assert floor.bench.plan(fabric(excluded=(ip_network("10.128.9.0/24"),)))
    floor.release(gang)
    assert floor.bench.plan(fabric(excluded=(used,))), "nobody is given it, which is what it says"


def test_a_fabric_only_grows_while_gangs_live_or_cool_down_there(floor: Floor) -> None:
    def told() -> str:
        with pytest.raises(Conflict) as caught:
            floor.bench.plan(fabric(pkeys=range(2, 0x4000)))
        (found,) = caught.value.faults
        assert found.rule == "fabric-in-use"
        return found.message

    assert told() == "PKeys would go, and Node n1 is on it"
    gang = floor.reserve()
    assert told() == "PKeys would go, and Gang acme/job is on it"
    floor.release(gang)
    floor.bench.delete(Reference(Kind.NODE, "n1"), Reference(Kind.NODE, "n2"))
    assert told() == "PKeys would go, and what Gang acme/job had on it cools down until 1970-01-01T00:26:40Z"
    floor.bench.now += 1000 * SLOW
    assert floor.bench.plan(fabric(pkeys=range(2, 0x4000)))


def test_what_cools_down_of_a_fabric_that_was_made_again_otherwise_hurts_nobody(floor: Floor) -> None:
    gang = floor.reserve()
    floor.release(gang)
    floor.bench.delete(Reference(Kind.NODE, "n1"), Reference(Kind.NODE, "n2"))
    floor.bench.delete(Reference(Kind.FABRIC, "east"))
    assert floor.bench.plan(sku("h200", slot(0, vfs=0), slot(1)))
    floor.bench.apply(fabric(pkeys=range(9, 0x4000)), node())
    again = floor.reserve(rails=(RailIndex(0),))
    assert again.pkey == 9
    assert again.berths[0].interfaces[0].slot not in {i.slot for b in gang.berths for i in b.interfaces}


def test_ethernet_is_no_gangs_and_a_request_that_changes_nothing_is_none(floor: Floor) -> None:
    floor.reserve()
    assert not floor.bench.plan(node(), sku(), fabric())
    store = slot(2, kind=FabricKind.ETHERNET, rail=None, gpu=None, pkeys=0)
    assert floor.bench.plan(sku("h200", slot(0), slot(1), store))
    assert floor.bench.plan(node("n2", "hv3"), node("n4", "hv2"))
