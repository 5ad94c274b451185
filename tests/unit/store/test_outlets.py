"""VFs that serve ports, when several write at once: no index guards them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from controller.api.migration import Moment, plan_migration
from controller.store.records import Contents
from controller.store.server import Server
from controller.store.writer import Store, clock
from ipam.steps import Plan
from model.errors import Conflict, RingfenceError
from model.fabric import FabricKind
from model.hardware import Eswitch, PciAddress, PfSlot
from model.ids import HostName
from model.outlet import Outlet
from model.wanted import Kind, Reference, Wanted, WantedNetwork, WantedSku
from tests.unit.store.house import SUBNETS, apply, planner, poll, port
from tests.unit.store.test_gangs import hardware

VF = (Outlet("fe0", 3),)
SLOT = PfSlot("fe0", PciAddress(0x900), FabricKind.ETHERNET, vfs=4, eswitch=Eswitch.SWITCHDEV)


@pytest.fixture
def other(server: Server, store: Store) -> Iterator[Store]:
    """A second writer; ports a and b are there, on hosts that have the PF."""
    apply(store, *estate(SLOT), WantedNetwork("acme", "prod", SUBNETS), port("a", "hv1"), port("b", "hv1"))
    made = Store(server.remote)
    yield made
    made.close()


def estate(slot: PfSlot) -> list[Wanted]:
    return [
        replace(each, pfs=(*each.pfs, slot)) if isinstance(each, WantedSku) else each
        for each in hardware(nodes=2)
    ]


def late(store: Store, first: Callable[[], object], plan: Callable[[Contents], Plan]) -> None:
    """Write what was planned on contents of before `first`, which is written meanwhile."""
    waiting = [first]

    def build(contents: Contents) -> Plan:
        made = plan(contents)
        if waiting:
            waiting.pop()()
        return made

    store.change(build, "", "d", lambda made: str(len(made.steps)))


def rules(caught: pytest.ExceptionInfo[RingfenceError]) -> list[str]:
    return [fault.rule for fault in caught.value.faults]


@pytest.mark.parametrize("name", ["b", "new"])
def test_of_two_who_want_a_vf_one_gets_it(store: Store, other: Store, name: str) -> None:
    with pytest.raises(Conflict) as caught:
        late(store, lambda: apply(other, port("a", "hv1", vf=VF)), planner(port(name, "hv1", vf=VF)))
    assert rules(caught) == ["already-taken"]


def test_hardware_that_changes_meanwhile_is_seen(store: Store, other: Store) -> None:
    smaller = estate(replace(SLOT, vfs=2))
    with pytest.raises(Conflict) as caught:
        late(store, lambda: apply(other, *smaller), planner(port("a", "hv1", vf=VF)))
    assert rules(caught) == ["vf-index"]
    apply(store, port("b", "hv1", vf=(Outlet("fe0", 1),)))
    with pytest.raises(Conflict) as caught:
        late(other, lambda: apply(store, *estate(SLOT)), planner(*estate(replace(SLOT, vfs=1))))
    assert rules(caught) == ["held-by-port"]


def test_a_port_that_moves_meanwhile_gets_no_vf_and_one_with_a_vf_does_not_move(
    store: Store, other: Store
) -> None:
    reference = Reference(Kind.PORT, "a", "acme")
    store.bind(store.contents().ports["acme", "a"].value.uid, HostName("hv1"))
    poll(lambda: bool(store.contents().bindings))

    def moving(contents: Contents) -> Plan:
        return plan_migration(contents, reference, HostName("hv2"), Moment.ANNOUNCED, clock())

    with pytest.raises(Conflict) as caught:
        late(store, lambda: apply(other, port("a", "hv1", vf=VF)), moving)
    assert rules(caught) == ["vf-stays"]
