"""Gangs that come and go in any order: nothing is had twice, undo is exact, books can be written again."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.gangs.ledger import Books, Ledger
from ipam.gangs.place import Placement
from model.fabric import Addressing, Fabric, FabricKind, RailIndex
from model.gang import Align, Arrange, Gang
from model.hardware import Sku
from tests.fakes.estate import Yard, infiniband, roce, sku, yard

RAILS = 4
GROUNDS: tuple[tuple[Fabric, Sku], ...] = (
    (infiniband(RAILS, blocks=(27, 64)), sku(RAILS, vfs=2, pkeys=3)),
    (roce(RAILS), sku(RAILS, vfs=2, kind=FabricKind.ROCE)),
    (roce(RAILS, addressing=Addressing.NODE), sku(RAILS, vfs=3, kind=FabricKind.ROCE)),
    (roce(RAILS, addressing=Addressing.TENANT), sku(RAILS, vfs=2, kind=FabricKind.ROCE)),
)
ASK = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(["acme", "umbra", "zeta"]),
        "name": st.sampled_from(["a", "b", "c"]),
        "count": st.integers(1, 4),
        "rails": st.sets(st.integers(0, RAILS - 1)).map(lambda s: tuple(RailIndex(r) for r in sorted(s))),
        "each": st.integers(1, 2),
        "gpus": st.integers(0, 2),
        "align": st.sampled_from(Align),
        "arrange": st.sampled_from(Arrange),
    }
)
STEPS = st.lists(
    st.one_of(
        ASK.map(lambda ask: ("ask", ask)),
        st.integers(0, 5).map(lambda which: ("release", which)),
        st.sampled_from([30, 150]).map(lambda ms: ("wait", ms)),
    ),
    max_size=14,
)


def walk(held: Yard, steps: list[tuple[str, object]]) -> None:
    for verb, what in steps:
        if verb == "ask":
            assert isinstance(what, dict)
            if isinstance(held.ask(**what), Placement):
                held.reserve(**what)
        elif verb == "release":
            gangs = list(held.ledger.gangs.values())
            if gangs:
                assert held.release(gangs[int(str(what)) % len(gangs)]) is not None
        else:
            held.wait(int(str(what)))


def plain(books: Books) -> dict[str, object]:
    """Without holdings' generations, which say only who took a key first."""
    return {
        "slots": books.slots,
        "pkeys": set(books.pkeys.holders()),
        "blocks": set(books.blocks.holders()),
        "addresses": {key: space for key, space in books.addresses.items() if space.held or space.cooling},
        "holdings": {t: (h.pkey, h.block, h.gangs, h.interfaces) for t, h in books.holdings.items()},
        "load": books.load,
        "gpus": books.gpus,
        "tables": books.tables,
        "links": books.links,
    }


def judge(held: Yard) -> None:
    gangs = list(held.ledger.gangs.values())
    fabric = next(iter(held.estate.fabrics.values()))
    every = [(gang, berth, i) for gang in gangs for berth in gang.berths for i in berth.interfaces]
    for fact in (
        [i.slot for _, _, i in every],
        [(berth.node, i.pf, i.vf) for _, berth, i in every],
        [(i.rail, address) for _, _, i in every for address in i.addresses],
        [i.mac for _, _, i in every if i.mac],
        [guid for _, _, i in every for guid in (i.node_guid, i.port_guid) if guid],
        [(berth.node, gpu) for gang in gangs for berth in gang.berths for gpu in berth.gpus],
    ):
        assert len(fact) == len(set(fact))
    assert all(len(i.addresses) == 2 for _, _, i in every)
    kind = next(iter(held.estate.skus.values()))
    for (node, pf), found in itertools.groupby(
        sorted(every, key=lambda e: (e[1].node, e[2].pf)), key=lambda e: (e[1].node, e[2].pf)
    ):
        keys = {gang.pkey for gang, _, _ in found if gang.pkey}
        slot = kind.slot(pf)
        assert slot is not None
        assert len(keys) < slot.pkeys or not keys
        assert keys == {key for key, _ in held.ledger.books[fabric.name].tables.get((node, pf), ())}
    owners = {(gang.pkey, gang.request.tenant) for gang in gangs if gang.pkey}
    assert len(owners) == len({pkey for pkey, _ in owners}), "no two tenants share a partition"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GROUNDS), STEPS)
def test_nothing_is_had_twice(ground: tuple[Fabric, Sku], steps: list[tuple[str, object]]) -> None:
    held = yard(*ground, count=4, pods=2)
    walk(held, steps)
    judge(held)
    again = Ledger(gangs=dict(held.ledger.gangs), cooling=dict(held.ledger.cooling))
    again.set_fabric(ground[0])
    # A key of a tenant that has gangs still, or has come back, cools down in neither.
    assert plain(again.books[ground[0].name]) == plain(held.ledger.books[ground[0].name])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GROUNDS), STEPS, ASK)
def test_release_is_the_exact_undo(
    ground: tuple[Fabric, Sku], steps: list[tuple[str, object]], ask: dict[str, object]
) -> None:
    held = yard(*ground, count=4, pods=2)
    walk(held, steps)
    held.wait(1_000)
    name = ground[0].name
    before = plain(held.ledger.copy().books[name])
    placed = held.ask(**ask)
    assert plain(held.ledger.books[name]) == before, "asking changes nothing"
    if isinstance(placed, Placement):
        assert held.ask(**ask) == placed, "the same question has the same answer"
        gang: Gang = held.reserve(**ask)
        assert plain(held.ledger.books[name]) != before
        held.release(gang)
        held.wait(1_000)
        assert plain(held.ledger.books[name]) == before
