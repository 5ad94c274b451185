"""Which ports are members of which partition, by the gangs of a fabric; and what nobody gets."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ipam.fabric.partitions import LeftOut, Oddity, Partition, Partitions, joins, ports, want
from model.fabric import Guid, PKey, RailIndex
from model.gang import Berth, Gang, GangRequest, GangState, Interface, Membership, Progress
from model.ids import HostName
from tests.fakes.estate import GUIDS, infiniband, roce

FABRIC = infiniband(2)
ACTIVE = Progress(GangState.ACTIVE, GangState.ACTIVE)
SM = Guid(0x0002C90300000001)


def gang(
    name: str, *places: int, pkey: int = 0x10, tenant: str = "acme", progress: Progress = ACTIVE
) -> Gang:
    made = tuple(
        Interface(p, "mlx0", p, RailIndex(0), (), node_guid=Guid(GUIDS.start + 2 * p), port_guid=guid(p))
        for p in places
    )
    return Gang(
        GangRequest(tenant, name, "ib", count=1),
        7,
        progress,
        (Berth("n1", HostName("h1"), (), made),),
        PKey(pkey),
    )


def guid(place: int) -> Guid:
    return Guid(GUIDS.start + 2 * place + 1)


def limited(made: Gang) -> Gang:
    return replace(made, request=replace(made.request, membership=Membership.LIMITED))


def test_gangs_of_a_tenant_share_its_partition_by_membership() -> None:
    gangs = [gang("a", 3, 1), limited(gang("b", 2)), gang("c", 9, pkey=0x11, tenant="umbra")]
    expected = Partitions(
        (SM,),
        (Partition(PKey(0x10), (guid(1), guid(3)), (guid(2),)), Partition(PKey(0x11), (guid(9),))),
    )
    for order in itertools.permutations(gangs):
        assert want(order, FABRIC, [SM]) == (expected, ())


@pytest.mark.parametrize("state", GangState)
@pytest.mark.parametrize("begun", GangState)
def test_who_joins(state: GangState, begun: GangState) -> None:
    """Nobody before the store knows of it, nobody who is on the way out."""
    wrong = {GangState.PLANNED, GangState.RELEASING, GangState.FAILED, GangState.RELEASED}
    right = {GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE}
    made = gang("a", 1, progress=Progress(state, begun))
    assert joins(made) == (state not in wrong and begun in right)
    assert bool(want([made], FABRIC, [])[0].tenants) == joins(made)


def test_other_fabrics_and_kinds_have_no_part() -> None:
    elsewhere = replace(gang("a", 1), request=GangRequest("acme", "a", "west", count=1))
    assert want([elsewhere], FABRIC, [])[0] == Partitions()
    bare = replace(gang("b"), request=GangRequest("acme", "b", "roce", count=1))
    assert ports(bare) == ()
    assert want([bare], roce(2), [])[0] == Partitions()


@pytest.mark.parametrize(
    "second",
    [
        gang("b", 2, 1, pkey=0x11, tenant="umbra"),
        limited(gang("b", 2, 1)),
        gang("b", 2, 1),
    ],
    ids=["another tenant", "another membership", "the same"],
)
def test_what_two_gangs_claim_nobody_gets(second: Gang) -> None:
    made, out = want([gang("a", 1), second], FABRIC, [])
    told = [g for p in made.tenants for g in (*p.full, *p.limited)]
    assert told == [guid(2)]
    owners = tuple(sorted([("acme", "a"), (second.request.tenant, "b")]))
    assert out == (LeftOut(guid(1), Oddity.TORN, owners),)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (gang("a", 1, pkey=0), Oddity.FOREIGN_PKEY),
        (gang("a", 1, pkey=0x7FFF), Oddity.FOREIGN_PKEY),
        (gang("a", 1, pkey=0x8010), Oddity.FOREIGN_PKEY),
        (gang("a", 1 << 40), Oddity.FOREIGN_GUID),
    ],
)
def test_what_is_not_of_the_fabric_is_left_out(made: Gang, why: Oddity) -> None:
    partitions, out = want([made, gang("b", 2)], FABRIC, [])
    assert partitions == Partitions((), (Partition(PKey(0x10), (guid(2),)),))
    assert [each.why for each in out] == [why]


def test_a_managers_port_is_no_tenants() -> None:
    partitions, out = want([gang("a", 1)], FABRIC, [guid(1)])
    assert partitions == Partitions((guid(1),))
    assert out == (LeftOut(guid(1), Oddity.MANAGER, (("acme", "a"),)),)
