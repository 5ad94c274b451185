"""What two tenants may not share on rails: found whoever wrote it, and refused where it would be reserved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipam.audit.agreement import Tag, agree
from ipam.audit.findings import Agreement, Rule
from ipam.audit.look import audit
from ipam.claims import peer_claim
from ipam.contents import Contents
from model.errors import Invalid
from model.fabric import FabricKind, PKey
from model.gang import Gang, GangState, Interface
from model.wanted import Kind, Reference
from tests.fakes.audited import World, world


def two(kind: FabricKind = FabricKind.INFINIBAND) -> World:
    made = world(kind)
    made.add("acme", "train", GangState.ACTIVE, count=2)
    made.add("umbra", "job", GangState.ACTIVE, count=2)
    return made


def look(made: World, gangs: list[Gang] | None = None, tags: tuple[Tag, ...] = ()) -> Agreement:
    return agree(made.contents(), [(gang, 0) for gang in gangs or made.gangs], tags)


def first(gang: Gang, change: Callable[[Interface], Interface]) -> Gang:
    """With its first interface changed."""
    berth = gang.berths[0]
    new = replace(berth, interfaces=(change(berth.interfaces[0]), *berth.interfaces[1:]))
    return replace(gang, berths=(new, *gang.berths[1:]))


def test_tenants_that_share_nothing_are_counted() -> None:
    found = look(two())
    assert (found.tenants, found.apart, found.clashes) == (2, 1, ())
    assert found.counts == {"partition keys": 2, "GUIDs": 16, "MACs": 0, "addresses": 16, "VLANs": 0}


@pytest.mark.parametrize(
    ("kind", "rule", "change"),
    [
        (FabricKind.INFINIBAND, Rule.PKEY_SHARED, lambda a, u: replace(u, pkey=a.pkey)),
        (
            FabricKind.INFINIBAND,
            Rule.GUID_SHARED,
            lambda a, u: first(u, lambda i: replace(i, port_guid=a.berths[0].interfaces[0].port_guid)),
        ),
        (
            FabricKind.ROCE,
            Rule.MAC_SHARED,
            lambda a, u: first(u, lambda i: replace(i, mac=a.berths[0].interfaces[0].mac)),
        ),
        (
            FabricKind.ROCE,
            Rule.ADDRESS_SHARED,
            lambda a, u: first(u, lambda i: replace(i, addresses=a.berths[0].interfaces[0].addresses[:1])),
        ),
    ],
)
def test_a_shared_number_names_both_tenants_and_its_rule_alone(
    kind: FabricKind, rule: Rule, change: Callable[[Gang, Gang], Gang]
) -> None:
    made = two(kind)
    acme, umbra = made.gangs
    (clash,) = look(made, [acme, change(acme, umbra)]).clashes
    assert clash.rule is rule
    assert clash.object == "Tenants acme and umbra"
    assert "Gang acme/train" in clash.message
    assert "Gang umbra/job" in clash.message
    assert "they are apart" in clash.message


def test_a_vlan_that_two_tenants_have_on_one_fabric() -> None:
    made = two(FabricKind.ROCE)
    tags = (Tag("acme", "roce", 100, "VF n1/mlx0/0"), Tag("umbra", "roce", 100, "VF n3/mlx0/0"))
    (clash,) = look(made, tags=tags).clashes
    assert (clash.rule, "VLAN 100 on roce" in clash.message) == (Rule.VLAN_SHARED, True)
    assert look(made, tags=(tags[0], replace(tags[1], vlan=101))).clashes == ()
    assert look(made, tags=(tags[0], replace(tags[1], fabric="other"))).clashes == ()


def test_a_vlan_that_hosts_see_is_a_finding_of_the_audit() -> None:
    made = two(FabricKind.ROCE)
    heard = made.heard()
    for name, told in heard.sightings.items():
        pfs = tuple(
            replace(pf, vfs=tuple(replace(vf, vlan=7 if vf.driver else 0) for vf in pf.vfs))
            for pf in told.value.pfs
        )
        heard.sightings[name] = replace(told, value=replace(told.value, pfs=pfs))  # type: ignore[index]
    assert [each.rule for each in made.audit(heard).findings] == [Rule.VLAN_SHARED]


def test_the_reverse_one_tenant_has_one_key() -> None:
    made = world()
    made.add("acme", "train", GangState.ACTIVE, count=1)
    other = made.add("acme", "more", GangState.ACTIVE, count=1)
    assert look(made).clashes == ()
    (clash,) = look(made, [made.gangs[0], replace(other, pkey=PKey(0x77))]).clashes
    assert (clash.rule, clash.object) == (Rule.PKEY_SPLIT, "Tenant acme")


def test_peers_are_told_to_be_peers_and_share_no_key_either() -> None:
    made = two()
    contents = made.contents()
    owners = contents.owners
    for one, other in (("acme", "umbra"), ("umbra", "acme")):
        owners = owners.set(peer_claim(one, other), Reference(Kind.PEERING, "p", one))
    peers: Contents = replace(contents, owners=owners)
    acme, umbra = made.gangs
    found = agree(peers, [(acme, 0), (replace(umbra, pkey=acme.pkey), 0)], ())
    assert found.apart == 0
    assert "they are peers" in found.clashes[0].message


def test_what_cools_down_is_not_yet_anybody_elses() -> None:
    made = two()
    acme, umbra = made.gangs
    found = agree(made.contents(), [(umbra, 0), (replace(acme, pkey=umbra.pkey), made.now + 1)], ())
    assert [each.rule for each in found.clashes] == [Rule.PKEY_SHARED]


@pytest.mark.parametrize(
    "change",
    [
        lambda a, u: replace(u, pkey=a.pkey),
        lambda a, u: first(u, lambda i: replace(i, slot=a.berths[0].interfaces[0].slot)),
        lambda a, u: replace(first(u, lambda i: replace(i, addresses=(ip_address("10.64.4.9"),))), block=1),
    ],
)
def test_the_ledger_holds_it_before_anything_is_written(change: Callable[[Gang, Gang], Gang]) -> None:
    """Keys, slots (from which GUIDs follow) and blocks of addresses have one holder."""
    made = two()
    acme, umbra = made.gangs
    assert acme.block == 1 or umbra.block != acme.block
    ledger = made.yard.ledger.copy()
    ledger.release(("umbra", "job"), umbra.generation, 0)
    ledger.thaw(1 << 50)
    broken = replace(change(acme, umbra), generation=99)
    if broken.block == 1 and acme.block != 1:
        broken = replace(broken, block=acme.block)
    with pytest.raises(Invalid):
        ledger.hold(broken)
    ledger.hold(replace(umbra, generation=99))


def test_a_gang_that_somebody_wrote_by_hand_is_named_with_what_it_shares() -> None:
    made = two()
    acme, umbra = made.gangs
    forged = replace(umbra, generation=77, pkey=acme.pkey, request=replace(umbra.request, name="forged"))
    contents = replace(made.contents(), unheld=(forged,))
    found = audit(contents, made.heard(), made.now).findings
    assert [(each.rule, each.object) for each in found] == [
        (Rule.LEFT_OUT, "Gang umbra/forged"),
        (Rule.PKEY_SHARED, "Tenants acme and umbra"),
        (Rule.PKEY_SPLIT, "Tenant umbra"),
    ]
