"""Names of gangs on their way to hosts, from a real store: of tenants whose ports are there alone."""

from __future__ import annotations

import pytest

from controller.store import watch
from controller.store.server import Server
from controller.store.writer import Store
from model.change import Part
from model.fabric import FabricKind
from model.roll import line_up
from model.wanted import WantedNetwork
from tests.unit.store.house import SUBNETS, Collector, apply, port, watching
from tests.unit.store.test_gangs import hardware, release, reserve, the


def gangs(seen: Collector) -> dict[str, object]:
    return {roll.name: roll for roll in seen.part(Part.GANG).values()}


def test_a_host_hears_of_gangs_of_its_ports_tenants_alone(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        watch, "_IDLE", 3600.0
    )  # what it hears it follows to its end, and not at the next idle moment
    nets = [WantedNetwork(tenant, "prod", SUBNETS) for tenant in ("acme", "umbra")]
    homes = [port("a", "hv1"), port("x", "hv2", tenant="umbra")]
    apply(store, *hardware(kind=FabricKind.ROCE), *nets, *homes)
    with watching(server.remote, "hv1") as own, watching(server.remote, "hv2") as other:
        reserve(store, fabric="roce", count=2)
        own.wait(lambda: "job" in gangs(own))
        made = the(store)
        assert made.size > 2 and {berth.host for berth in made.berths} != {"hv1"}
        (roll,) = gangs(own).values()
        assert (roll.generation, roll.tenant, roll.ranks) == (made.generation, "acme", line_up(made.berths))
        spoken = {address for rank in roll.ranks for _, addresses in rank for address in addresses}
        held = {a for berth in made.berths for i in berth.interfaces for a in i.addresses}
        assert spoken == held and held
        reserve(store, fabric="roce", name="theirs", tenant="umbra")
        other.wait(lambda: "theirs" in gangs(other))
        assert gangs(own).keys() == {"job"} and gangs(other).keys() == {"theirs"}
        apply(store, port("b", "hv2"))
        other.wait(lambda: gangs(other).keys() == {"job", "theirs"})
        release(store)
        for seen in (own, other):
            seen.wait(lambda s=seen: "job" not in gangs(s))
    with watching(server.remote, "hv2") as later:
        assert gangs(later).keys() == {"theirs"}
