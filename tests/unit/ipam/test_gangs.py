"""Gangs: where they are placed, what they get, why they are refused, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ipam.gangs.place import Placement, reserve
from ipam.gangs.refusal import Cause, Lack
from model.errors import Conflict, Exhausted, Invalid, NotFound
from model.fabric import Addressing, FabricKind, RailIndex
from model.gang import Align, Arrange, Gang, GangState, Interface, Quota
from tests.fakes.estate import Yard, infiniband, nodes, roce, sku, yard

ROCE = FabricKind.ROCE


def rails(*numbers: int) -> tuple[RailIndex, ...]:
    return tuple(RailIndex(n) for n in numbers)


def named(gang: Gang | Placement) -> list[str]:
    return [berth.node for berth in gang.berths]


def interfaces(gang: Gang) -> list[Interface]:
    return [i for berth in gang.berths for i in berth.interfaces]


def snapshot(held: Yard) -> object:
    books = held.ledger.copy().books
    return {
        name: (b.slots, b.pkeys, b.blocks, {k: s for k, s in b.addresses.items() if s.held or s.cooling},
               b.holdings, b.load, b.gpus, b.tables, b.links)
        for name, b in books.items()
    }  # fmt: skip


def test_a_gang_on_infiniband() -> None:
    gang = yard(infiniband(), sku(), 4).reserve(count=2)
    assert gang.progress.state is GangState.RESERVED
    assert named(gang) == ["n1", "n2"]
    assert (gang.size, gang.pkey, gang.block) == (16, 1, 0)
    first, last = interfaces(gang)[0], interfaces(gang)[-1]
    assert (first.pf, first.vf, first.rail, first.mac) == ("mlx0", 0, 0, 0)
    assert first.addresses == (ip_address("10.64.0.2"), ip_address("fd00::2"))
    assert last.addresses == (ip_address("10.176.0.3"), ip_address("fd00:0:0:0:0:0:0:3") + (7 << 80))
    # Derived from node 1, PF 0, VF 0; and from node 2, PF 7.
    assert (first.node_guid, first.port_guid) == (0x0200000000004000, 0x0200000000004001)
    assert last.port_guid == 0x0200000000008E01
    assert len({i.port_guid for i in interfaces(gang)} | {i.node_guid for i in interfaces(gang)}) == 32


def test_a_gang_on_roce_has_links() -> None:
    gang = yard(roce(), sku(kind=ROCE), 4).reserve(count=2, each=2)
    got = [i.addresses[0] for i in gang.berths[0].interfaces if i.rail == 3]
    assert got == [ip_address("10.112.1.1"), ip_address("10.112.1.3")], "the leaf has the even ones"
    assert gang.berths[1].interfaces[0].addresses[1] == ip_address("fd00:0:0:2::1")
    assert (gang.pkey, gang.block) == (0, -1)
    macs = [i.mac for i in interfaces(gang)]
    assert macs[0] == 0x020000000001
    assert len(set(macs)) == 32


def test_a_prefix_for_each_node() -> None:
    held = yard(roce(addressing=Addressing.NODE, excluded=(ip_network("10.64.1.2/32"),)), sku(kind=ROCE), 2)
    gang = held.reserve(nodes=("n1",), count=0, rails=rails(0, 1))
    assert [(i.vf, i.addresses[0]) for i in interfaces(gang)] == [
        (1, ip_address("10.64.1.3")),  # what VF 0 would have is excluded
        (0, ip_address("10.80.1.2")),
    ]


def test_a_slot_keeps_what_it_has_for_each_owner() -> None:
    held = yard(infiniband(), sku(vfs=1), 1)
    first = held.reserve()
    held.release(first)
    held.wait(100)
    second = held.reserve(tenant="umbra")
    assert [i.port_guid for i in interfaces(first)] == [i.port_guid for i in interfaces(second)]


def test_a_tenant_keeps_its_key_and_block_while_it_has_gangs() -> None:
    held = yard(infiniband(), sku(), 4)
    one, two = held.reserve(name="a"), held.reserve(name="b")
    other = held.reserve(tenant="umbra")
    assert (one.pkey, two.pkey, other.pkey) == (1, 1, 2)
    assert (one.block, two.block, other.block) == (0, 0, 1)
    assert interfaces(other)[0].addresses[0] == ip_address("10.64.4.2")
    held.release(one)
    assert held.reserve(name="c").pkey == 1
    held.release(two)
    for gang in list(held.ledger.gangs.values()):
        if gang.request.tenant == "acme":
            held.release(gang)
    again = held.reserve(name="d")
    assert again.pkey == 3, "1 cools down"
    held.release(again)
    held.wait(100)
    assert held.reserve(name="e").pkey == 1


def test_refused_for_nodes() -> None:
    held = yard(infiniband(), sku(vfs=1), 3)
    held.reserve(name="a", nodes=("n2",), count=0, rails=rails(3))
    before = snapshot(held)
    refusal = held.refused(count=3)
    assert snapshot(held) == before
    assert (refusal.cause, refusal.rule) == (Cause.SHORT, "nodes-short")
    assert refusal.message == "3 nodes are wanted, 2 of 3 can: 1 lack free VFs"
    assert refusal.lacks == (Lack("n2", "free VFs", 1, 0, "r3", "mlx3"),)
    error = refusal.error()
    assert isinstance(error, Exhausted)
    assert error.faults[1].message == "node n2, rail r3, PF mlx3: free VFs: 1 wanted, 0 there"
    assert named(held.reserve(count=2)) == ["n1", "n3"]


def test_refusals_of_what_can_never_be() -> None:
    held = yard(infiniband(), sku(), 2)
    assert isinstance(held.refused(fabric="ob").error(), NotFound)
    assert isinstance(held.refused(nodes=("n1", "n9"), count=0).error(), NotFound)
    assert isinstance(held.refused(rails=rails(8)).error(), Invalid)
    assert held.refused(deadline=1_000).rule == "deadline"
    held.reserve()
    assert isinstance(held.refused().error(), Conflict)
    assert len(held.refused(name="b", count=9, rails=rails(0)).error().faults) == 1


def test_many_lacks_are_not_all_told() -> None:
    held = yard(infiniband(), sku(vfs=0), 9)
    faults = held.refused().error().faults
    assert len(faults) == 52
    assert faults[-1].message == "and 22 more places lack something"


def test_quota() -> None:
    held = yard(infiniband(), sku(), 8, quotas={"acme": Quota(gangs=2, interfaces=24)})
    assert held.refused(count=4).message == (
        "tenant acme may have 24 interfaces: it has 0, and this needs 32 more"
    )
    held.reserve(name="a")
    held.reserve(name="b")
    assert held.refused(name="c").rule == "quota"
    assert held.refused(name="c").message.startswith("tenant acme may have 2 gangs: it has 2")
    held.reserve(tenant="umbra", count=4)


def test_room_in_a_port_s_table_is_respected() -> None:
    """Three entries: the default partition's, and two tenants'."""
    held = yard(infiniband(), sku(pkeys=3), 1)
    held.reserve(tenant="a", rails=rails(0))
    held.reserve(tenant="b", rails=rails(0))
    refusal = held.refused(tenant="c", rails=rails(0))
    assert refusal.lacks == (Lack("n1", "room in its PKey table", 1, 0, "r0", "mlx0"),)
    held.reserve(tenant="b", name="more", rails=rails(0))
    held.reserve(tenant="c", rails=rails(1))


def test_partition_keys_and_blocks_run_out() -> None:
    held = yard(infiniband(pkeys=range(5, 6)), sku(), 4)
    assert held.reserve().pkey == 5
    assert "no partition key left: 1 held, 0 cooling down" in held.refused(tenant="umbra").message
    held = yard(infiniband(blocks=(16, 48)), sku(), 4)
    held.reserve()
    assert "no block of addresses left" in held.refused(tenant="umbra").message
    held = yard(infiniband(blocks=(29, 64)), sku(), 9)
    assert "rail r7: 4 IPv4 addresses" in held.refused(count=9).message


def test_too_few_guids_and_addresses() -> None:
    held = yard(infiniband(guids=(range(0x02 << 56, (0x02 << 56) + 0x8000),)), sku(), 2)
    assert named(held.reserve()) == ["n1"]
    assert held.refused(name="b", nodes=("n2",), count=0).lacks[0].what.startswith("GUIDs")
    held = yard(roce(blocks=(17, 64)), sku(kind=ROCE), 2)
    assert named(held.reserve()) == ["n1"]
    assert held.refused(name="b", nodes=("n2",), count=0).lacks[0].what.startswith("addresses in the node's")


def test_pack_and_spread() -> None:
    held = yard(infiniband(), sku(), 8, pods=2)
    held.reserve(name="x", nodes=("n6",), count=0)
    assert named(held.reserve(name="p", count=2)) == ["n1", "n2"], "of two equal groups the first"
    assert named(held.reserve(name="q", count=1)) == ["n1"], "a full node before an empty one"
    assert named(held.reserve(name="s", count=4, arrange=Arrange.SPREAD)) == ["n3", "n4", "n5", "n7"]
    assert named(held.reserve(name="t", count=5)) == ["n1", "n2", "n3", "n4", "n5"]


def test_pack_prefers_the_group_that_just_fits() -> None:
    held = yard(infiniband(), sku(), 6)
    split = {
        n: replace(node, leaves=("a" if n in ("n5", "n6") else "b",) * 8)
        for n, node in nodes(6, "ib").items()
    }
    held.estate = replace(held.estate, nodes=split)
    assert named(held.reserve(count=2)) == ["n5", "n6"]
    assert named(held.reserve(name="b", count=5)) == ["n1", "n2", "n3", "n4", "n5"]


def test_a_part_of_a_host() -> None:
    held = yard(infiniband(), sku(), 2)
    first = held.reserve(name="a", gpus=2, nodes=("n1",), count=0)
    assert first.berths[0].gpus == (0, 1)
    assert [i.rail for i in interfaces(first)] == [0, 1], "the PFs next to them"
    second = held.reserve(name="b", gpus=4, nodes=("n1",), count=0)
    assert second.berths[0].gpus == (4, 5, 6, 7), "whole on the other NUMA node"
    third = held.reserve(name="c", gpus=1, nodes=("n1",), count=0, align=Align.NUMA)
    assert third.berths[0].gpus == (2,)
    assert [i.rail for i in interfaces(third)] == [0, 1, 2, 3]
    refusal = held.refused(name="d", gpus=2, nodes=("n1",), count=0)
    assert refusal.lacks == (Lack("n1", "free GPUs with a PF on the rails", 2, 1),)
    assert named(held.reserve(name="d", gpus=2)) == ["n2"]
    whole = held.reserve(name="e", gpus=1, nodes=("n2",), count=0, align=Align.ANY)
    assert len(interfaces(whole)) == 8
    held.release(second)
    assert held.reserve(name="f", gpus=3, nodes=("n1",), count=0).berths[0].gpus == (4, 5, 6)


def test_gpus_on_some_rails_only() -> None:
    held = yard(infiniband(), sku(), 1)
    gang = held.reserve(gpus=2, rails=rails(3, 5, 6))
    assert gang.berths[0].gpus == (5, 6)
    assert [i.rail for i in interfaces(gang)] == [5, 6]


def test_rails_that_a_node_has_not() -> None:
    held = yard(infiniband(), sku(rails=4), 2)
    assert held.refused().lacks[0] == Lack("n1", "PF of kind infiniband", 1, 0, "r4")
    assert len(interfaces(held.reserve(rails=rails(0, 3)))) == 2


def test_verdicts_say_where_and_why_not() -> None:
    held = yard(infiniband(), sku(vfs=1), 3)
    held.reserve(name="a", nodes=("n1",), count=0)
    placed = held.ask()
    assert isinstance(placed, Placement)
    assert [(v.node, bool(v.chosen), bool(v.lacks)) for v in placed.verdicts] == [
        ("n1", False, True),
        ("n2", True, False),
        ("n3", False, False),
    ]


def test_a_late_release_after_a_new_owner_frees_nothing() -> None:
    held = yard(infiniband(), sku(vfs=1), 1)
    first = held.reserve()
    assert held.release(first) is not None
    held.wait(100)
    second = held.reserve()
    before = snapshot(held)
    assert held.release(first) is None
    assert snapshot(held) == before
    assert held.ledger.gangs[("acme", "job")] == second


def test_what_cools_down_is_not_to_be_had() -> None:
    held = yard(infiniband(), sku(vfs=1), 1)
    gang = held.reserve()
    held.release(gang)
    assert held.refused(tenant="umbra").rule == "nodes-short"
    held.wait(99)
    assert held.refused(tenant="umbra").rule == "nodes-short"
    held.wait(1)
    held.reserve(tenant="umbra")


def test_nothing_is_held_twice() -> None:
    held = yard(roce(), sku(kind=ROCE), 2)
    gang = held.reserve()
    before = snapshot(held)
    for wrong in (
        replace(gang, generation=9),
        replace(gang, generation=9, request=replace(gang.request, name="other")),
        replace(gang, generation=9, request=replace(gang.request, name="other", fabric="ob")),
        replace(gang, generation=9, block=3, request=replace(gang.request, name="other")),
    ):
        with pytest.raises(Invalid):
            held.ledger.hold(wrong)
        assert snapshot(held) == before
    held.ledger.hold(gang)
    assert snapshot(held) == before, "saying it twice changes nothing"


def test_as_many_macs_as_it_needs() -> None:
    placed = yard(roce(), sku(kind=ROCE), 2).ask()
    assert isinstance(placed, Placement)
    assert placed.macs == 8
    with pytest.raises(ValueError, match="8 MACs"):
        reserve(placed, 1, ())
