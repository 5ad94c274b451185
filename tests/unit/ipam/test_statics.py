"""Interfaces, addresses and partition keys that are asked for by value; and ranges that only those get."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipam.gangs.refusal import Cause
from model.fabric import Addressing, FabricKind, PKey, RailIndex
from model.gang import Align, Gang, Static
from tests.fakes.estate import Yard, infiniband, roce, sku, yard

ROCE = FabricKind.ROCE
N1 = {"count": 0, "nodes": ("n1",)}


def vfs(gang: Gang, pf: str = "mlx0") -> list[int]:
    return [i.vf for berth in gang.berths for i in berth.interfaces if i.pf == pf]


def addresses(gang: Gang, pf: str = "mlx0") -> list[str]:
    return [str(i.addresses[0]) for berth in gang.berths for i in berth.interfaces if i.pf == pf]


def asked(**more) -> tuple[Static, ...]:
    return (Static("n1", "mlx0", **more),)


def by(*texts: str):
    return tuple(ip_address(text) for text in texts)


def by_tenant(**more) -> Yard:
    return yard(infiniband(2, **more), sku(2), 2)


def test_a_vf_by_its_number() -> None:
    held = by_tenant()
    gang = held.reserve(**N1, each=2, statics=asked(vf=3))
    assert (vfs(gang), vfs(gang, "mlx1")) == ([0, 3], [0, 1])
    refusal = held.refused(**N1, name="b", statics=asked(vf=3))
    assert [lack.text() for lack in refusal.lacks] == [
        "node n1, rail r0, PF mlx0: VF 3 (free): 1 wanted, 0 there"
    ]
    assert held.refused(**N1, name="b", statics=asked(vf=200)).rule == "nodes-short"
    assert vfs(held.reserve(**N1, name="b", statics=asked(vf=2))) == [2]


def test_an_address_of_the_tenants_block() -> None:
    held = by_tenant()
    gang = held.reserve(**N1, each=2, statics=asked(addresses=by("10.64.0.2", "fd00::9")))
    held.reserve(name="keep", count=0, nodes=("n2",))
    assert addresses(gang) == ["10.64.0.2", "10.64.0.3"], "nobody else of the gang is given it"
    assert gang.berths[0].interfaces[0].addresses[1] == ip_address("fd00::9")
    taken = held.refused(**N1, name="b", statics=asked(addresses=by("10.64.0.2")))
    assert (taken.cause, taken.rule) == (Cause.SHORT, "address-taken")
    assert taken.message == "10.64.0.2 on rail r0 is not free: a gang has it"
    held.release(gang)
    assert (
        "it cools down"
        in held.refused(**N1, name="b", tenant="acme", statics=asked(addresses=by("10.64.0.2"))).message
    )
    held.wait(1_000)
    assert addresses(held.reserve(**N1, name="b", statics=asked(addresses=by("10.64.0.2")))) == ["10.64.0.2"]


@pytest.mark.parametrize(
    "wrong", ["10.64.0.0", "10.64.0.1", "10.64.3.255", "10.64.4.9", "10.80.0.9", "192.0.2.1"]
)
def test_an_address_outside_of_the_block(wrong: str) -> None:
    held = by_tenant()
    held.reserve(name="first")
    refusal = held.refused(**N1, statics=asked(addresses=by(wrong)))
    assert (refusal.cause, refusal.rule) == (Cause.WRONG, "address-outside")
    assert (
        f"{wrong} is no address of the tenant's block 0 on rail r0: that is 10.64.0.0 to 10.64.3.255"
        == refusal.message
    )


def test_a_tenants_first_gang_gets_the_block_of_its_address() -> None:
    held = by_tenant()
    gang = held.reserve(**N1, statics=asked(addresses=by("10.64.8.77")))
    assert (gang.block, addresses(gang), addresses(gang, "mlx1")) == (2, ["10.64.8.77"], ["10.80.8.2"])
    refusal = held.refused(**N1, tenant="umbra", statics=asked(addresses=by("10.64.8.78")))
    assert refusal.rule == "address-outside", "the block is another tenant's"


def test_excluded_is_nobodys_and_reserved_is_for_who_asks() -> None:
    held = by_tenant(reserved=(ip_network("10.64.0.0/29"),), excluded=(ip_network("10.64.0.5/32"),))
    assert addresses(held.reserve(**N1, name="a")) == ["10.64.0.8"]
    assert addresses(held.reserve(**N1, name="b", statics=asked(addresses=by("10.64.0.4")))) == ["10.64.0.4"]
    refusal = held.refused(**N1, name="c", statics=asked(addresses=by("10.64.0.5")))
    assert refusal.rule == "address-outside"


@pytest.mark.parametrize("addressing", [Addressing.LINK, Addressing.NODE])
def test_a_derived_address_names_its_vf(addressing: Addressing) -> None:
    third = "10.64.1.5" if addressing is Addressing.LINK else "10.64.1.4"
    reserved = (ip_network("10.64.1.0/30"),)
    held = yard(roce(2, addressing, reserved=reserved), sku(2, kind=ROCE), 2)
    gang = held.reserve(**N1, statics=asked(addresses=by(third)))
    assert (vfs(gang), addresses(gang)) == ([2], [third])
    both = held.reserve(**N1, name="b", each=2, statics=asked(vf=0))
    assert vfs(both) == [0, 3]
    lacks = held.refused(**N1, name="c", statics=asked(addresses=by(third))).lacks
    assert [lack.what for lack in lacks] == [f"a free VF with {third}"]
    wrong = held.refused(
        **N1, name="c", rails=(RailIndex(0),), statics=asked(vf=1, addresses=by("10.64.1.99"))
    )
    assert [lack.what for lack in wrong.lacks] == ["VF 1 (free) with 10.64.1.99"]


def test_a_named_vf_is_not_taken_by_an_address() -> None:
    held = by_tenant()
    statics = (Static("n1", "mlx0", addresses=by("10.64.0.9")), Static("n1", "mlx0", 0))
    gang = held.reserve(**N1, each=2, statics=statics)
    assert [(i.vf, str(i.addresses[0])) for i in gang.berths[0].interfaces[:2]] == [
        (0, "10.64.0.2"),
        (1, "10.64.0.9"),
    ]


def test_a_pf_that_the_gang_would_not_have() -> None:
    held = by_tenant()
    statics = (Static("n1", "mlx1", 0),)
    for more in ({"rails": (RailIndex(0),)}, {"gpus": 1, "align": Align.GPU}):
        (lack,) = held.refused(**N1, **more, statics=statics).lacks
        assert (lack.pf, "asked for" in lack.what) == ("mlx1", True)
    assert held.refused(**N1, statics=(Static("n1", "eth9", 0),)).lacks[0].pf == "eth9"


def test_partition_keys() -> None:
    held = by_tenant(reserved_pkeys=(range(1, 0x10),))
    assert held.reserve(tenant="a").pkey == 0x10
    assert held.reserve(tenant="b", pkey=PKey(3)).pkey == 3
    assert held.reserve(tenant="b", name="more", pkey=PKey(3)).pkey == 3
    other = held.refused(tenant="b", name="x", pkey=PKey(4))
    assert (other.rule, other.message) == ("pkey-held", "its gangs on Fabric ib have partition key 0x0003")
    taken = held.refused(tenant="c", pkey=PKey(3))
    assert (taken.rule, taken.message) == (
        "pkey-taken",
        "partition key 0x0003 is not free: another tenant has it",
    )
    held.release(held.ledger.gangs["a", "job"])
    assert "cools down" in held.refused(tenant="c", pkey=PKey(0x10)).message
    narrow = by_tenant(pkeys=range(1, 9))
    assert narrow.refused(pkey=PKey(9)).rule == "pkey-outside"
    assert yard(roce(1), sku(1, kind=ROCE), 1).refused(pkey=PKey(9)).rule == "infiniband-only"


def test_asking_by_value_changes_nothing_when_it_is_refused() -> None:
    held = by_tenant()
    held.reserve(**N1, statics=asked(vf=1, addresses=by("10.64.0.9")), pkey=PKey(7))
    before = held.ledger.copy()
    held.refused(**N1, name="b", statics=asked(vf=2, addresses=by("10.64.0.9")))
    held.refused(**N1, name="b", tenant="c", statics=asked(vf=2), pkey=PKey(7))
    assert (held.ledger.gangs, held.ledger.books["ib"].slots) == (before.gangs, before.books["ib"].slots)
    assert held.ledger.books["ib"].addresses == before.books["ib"].addresses
