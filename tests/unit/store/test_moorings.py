"""What one host is told that it is to bear: its own rows, as they come and go, from a real store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from controller.store import gangs
from controller.store.moorings import Lookout, Moorings
from controller.store.server import Server
from controller.store.writer import Store
from model.fabric import FabricKind
from model.gang import Event, GangState, Progress, Use, begin, finish
from model.hardware import Eswitch, PciAddress, PfSlot
from model.ids import HostName
from model.outlet import Outlet, Served
from model.wanted import WantedNetwork, WantedNode, WantedSku
from tests.unit.store.house import DEADLINE, SUBNETS, apply, poll, port
from tests.unit.store.test_gangs import COOL_DOWN, hardware, release, reserve

S = GangState


class Heard:
    def __init__(self) -> None:
        self.all: list[Moorings | None] = []
        self._changed = threading.Condition()

    def __call__(self, found: Moorings | None) -> None:
        with self._changed:
            self.all.append(found)
            self._changed.notify_all()

    def wait(self, holds: Callable[[Moorings], bool]) -> Moorings:
        def found() -> bool:
            return bool(self.all) and self.all[-1] is not None and holds(self.all[-1])

        with self._changed:
            assert self._changed.wait_for(found, DEADLINE), self.all[-2:]
            last = self.all[-1]
            assert last is not None
            return last


@contextmanager
def looking(remote: str, host: str) -> Iterator[Heard]:
    heard = Heard()
    lookout = Lookout(remote, HostName(host), heard)
    lookout.start()
    try:
        yield heard
    finally:
        lookout.stop()


def move(store: Store, progress: Progress, name: str = "job") -> None:
    store.move(gangs.advance(store.read_all().ledger.gangs["acme", name], progress, 5))


def test_it_follows_its_own_gang_from_request_to_sweep(server: Server, store: Store) -> None:
    with looking(server.remote, "hv1") as mine, looking(server.remote, "hv2") as other:
        empty = mine.wait(lambda found: found.cluster is not None)
        assert (empty.nodes, empty.gangs, empty.skus) == ((), (), {})
        apply(store, *hardware())
        there = mine.wait(lambda found: bool(found.nodes and found.skus and found.fabrics))
        assert [node.name for node in there.nodes] == ["n1"]
        assert there.skus["h"] == store.contents().skus["h"].value
        assert there.fabrics["ib"] == store.contents().fabrics["ib"].value
        reserve(store, count=0, nodes=("n1", "n3"))
        (gang,) = mine.wait(lambda found: bool(found.gangs)).gangs
        kept = store.contents().ledger.gangs["acme", "job"]
        assert (gang.generation, gang.request, gang.pkey) == (kept.generation, kept.request, kept.pkey)
        assert (gang.progress, gang.berth) == (kept.progress, kept.berths[0])
        (uid,) = (each.value.uid for each in store.contents().tenants.values() if each.value.name == "acme")
        assert mine.wait(lambda found: bool(found.tenants)).tenants == {"acme": uid}
        reserve(store, name="other", count=0, nodes=("n2",))
        assert [g.berth.node for g in other.wait(lambda found: bool(found.gangs)).gangs] == ["n2"]
        begun = begin(kept.progress, Event.PROGRAM)
        move(store, begun)
        mine.wait(lambda found: [g.progress for g in found.gangs] == [begun])
        store.move(gangs.vouch(store.read_all().ledger.gangs["acme", "job"], ("n1",)))
        mine.wait(lambda found: [g.vouched for g in found.gangs] == [("n1",)])
        store.move(gangs.advance(store.read_all().ledger.gangs["acme", "job"], finish(begun, Event.FAIL), 6))
        mine.wait(lambda found: [g.progress.state for g in found.gangs] == [S.FAILED])
        release(store, name="other")
        other.wait(lambda found: [g.progress.state for g in found.gangs] == [S.RELEASED])
        reserve(store, name="third", count=0, nodes=("n4",), now=2_001 + COOL_DOWN)
        assert other.wait(lambda found: not found.gangs).generation >= kept.generation + 3
        assert all(len(found.gangs) < 2 for found in mine.all if found is not None)


def test_an_empty_store_and_a_lost_one_are_told_apart(server: Server, store: Store) -> None:
    with looking(server.remote, "hv1") as heard:
        apply(store, *hardware(nodes=1))
        heard.wait(lambda found: bool(found.nodes))
        server.stop()
        poll(lambda: heard.all[-1] is None)
    assert [found for found in heard.all if found is not None][-1].nodes


def test_a_node_that_comes_late_brings_its_sku(server: Server, store: Store) -> None:
    wanted = hardware(nodes=1)
    node = next(each for each in wanted if isinstance(each, WantedNode))
    apply(store, *(each for each in wanted if each is not node))
    with looking(server.remote, "hv1") as heard:
        first = heard.wait(lambda found: found.cluster is not None)
        assert (first.nodes, first.skus) == ((), {})
        apply(store, node)
        assert set(heard.wait(lambda found: bool(found.nodes)).skus) == {"h"}


def test_ports_that_vfs_serve_come_and_go(server: Server, store: Store) -> None:
    """Of this host alone; others' and those without a VF are none."""
    slot = PfSlot("fe0", PciAddress(0x900), FabricKind.ETHERNET, vfs=4, eswitch=Eswitch.SWITCHDEV)
    wanted = [
        replace(each, pfs=(*each.pfs, slot)) if isinstance(each, WantedSku) else each
        for each in hardware(nodes=2)
    ]
    made = port("a", "hv1", vf=(Outlet("fe0", 3, Use.VM),))
    apply(store, *wanted, WantedNetwork("acme", "prod", SUBNETS), made, port("b", "hv1"))
    apply(store, port("c", "hv2", vf=(Outlet("fe0", 1),)))
    record = store.contents().ports["acme", "a"].value
    with looking(server.remote, "hv1") as heard:
        found = heard.wait(lambda found: bool(found.served))
        assert found.served == (Served(record.uid, record.mac, Outlet("fe0", 3, Use.VM)),)
        apply(store, replace(made, vf=(Outlet("fe0", 2),)))
        heard.wait(lambda found: [each.outlet for each in found.served] == [Outlet("fe0", 2)])
        apply(store, replace(made, vf=()))
        heard.wait(lambda found: found.served == ())
