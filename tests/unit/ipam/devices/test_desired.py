"""What gangs make of a host's VFs, by the state that each is in, and what stands in the way of it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from ipam.devices.desired import (
    LINK_AUTO,
    LINK_DISABLE,
    DesiredPf,
    DesiredVf,
    Policy,
    Setting,
    Stay,
    VfDriver,
    desired,
)
from ipam.devices.found import FoundPf
from ipam.devices.operations import plan
from model.fabric import FabricKind, Guid, RailIndex
from model.gang import Berth, GangState, Interface, Progress
from model.hardware import Eswitch, PciAddress
from model.ids import HostName, Mac
from tests.fakes.estate import sku

S = GangState
IB = Interface(
    9, "mlx0", 1, RailIndex(0), (), node_guid=Guid(0x0200000000000012), port_guid=Guid(0x0200000000000013)
)
ROCE = Interface(9, "mlx0", 1, RailIndex(0), (), mac=Mac(0x020A00000001))
LAID: dict[Setting, object] = {
    Setting.VLAN: (0, 0),
    Setting.SPOOF: 1,
    Setting.TRUST: 0,
    Setting.RATES: (0, 0),
}


def stay(interface: Interface, state: GangState, begun: GangState | None = None) -> Stay:
    return Stay(Berth("n1", HostName("hv1"), (), (interface,)), Progress(state, begun or state))


def only(interface: Interface, state: GangState, begun: GangState | None = None) -> DesiredVf:
    kind = FabricKind.ROCE if interface.mac else FabricKind.INFINIBAND
    (pf,) = desired(sku(kind=kind), [stay(interface, state, begun)])
    assert (pf.pci, pf.count, pf.eswitch) == (0x200, 4, None)
    (vf,) = pf.vfs
    assert vf.index == 1
    return vf


HELD = [
    (S.RESERVED, S.PROGRAMMED),
    (S.PROGRAMMED, S.PROGRAMMED),
    (S.PROGRAMMED, S.VERIFIED),
    (S.VERIFIED,) * 2,
]


@pytest.mark.parametrize(("state", "begun"), HELD)
def test_a_gang_that_is_held_has_identities_and_no_link_yet(state: GangState, begun: GangState) -> None:
    guids = {Setting.NODE_GUID: IB.node_guid, Setting.PORT_GUID: IB.port_guid}
    assert only(IB, state, begun).settings == {Setting.LINK: LINK_DISABLE, **guids}
    assert only(ROCE, state, begun).settings == {Setting.LINK: LINK_DISABLE, Setting.MAC: ROCE.mac, **LAID}
    assert only(ROCE, state, begun).driver is VfDriver.NATIVE


def test_links_are_raised_once_that_was_begun() -> None:
    assert only(IB, S.VERIFIED, S.ACTIVE).settings[Setting.LINK] == LINK_AUTO
    assert only(IB, S.ACTIVE).settings[Setting.LINK] == LINK_AUTO


@pytest.mark.parametrize("state", [S.RELEASING, S.FAILED])
def test_a_gang_that_goes_leaves_its_vfs_parked(state: GangState) -> None:
    parked = only(ROCE, state, S.ACTIVE)
    assert parked.driver is VfDriver.NONE
    assert parked.settings == {Setting.LINK: LINK_DISABLE, Setting.MAC: 0, **LAID}
    assert only(IB, state, S.PROGRAMMED).settings == {Setting.LINK: LINK_DISABLE}


@pytest.mark.parametrize(
    ("state", "begun"),
    [
        *((S.PLANNED, S.PLANNED), (S.RELEASED, S.PLANNED), (S.RESERVED, S.RESERVED)),
        *((S.RELEASING, S.RESERVED), (S.FAILED, S.RESERVED)),
    ],
)
def test_what_never_began_and_what_is_gone_is_not_touched(state: GangState, begun: GangState) -> None:
    assert desired(sku(), [stay(IB, state, begun)]) == ()


def test_with_representors_ovs_tags_and_checks() -> None:
    plain = sku(kind=FabricKind.ROCE)
    switched = replace(plain, pfs=tuple(replace(pf, eswitch=Eswitch.SWITCHDEV) for pf in plain.pfs))
    for state in (S.PROGRAMMED, S.RELEASING):
        (pf,) = desired(switched, [stay(ROCE, state, S.ACTIVE)])
        assert pf.eswitch is Eswitch.SWITCHDEV
        assert not {Setting.VLAN, Setting.SPOOF, Setting.TRUST} & set(pf.vfs[0].settings)


def test_a_policy_gives_driver_vlan_and_rates() -> None:
    policy = Policy(VfDriver.VFIO, 100, 3, (10, 1000))
    (pf,) = desired(sku(kind=FabricKind.ROCE), [stay(ROCE, S.PROGRAMMED)], policy)
    assert pf.vfs[0].driver is VfDriver.VFIO
    assert pf.vfs[0].settings[Setting.VLAN] == (100, 3)
    assert pf.vfs[0].settings[Setting.RATES] == (10, 1000)


def test_the_first_of_two_that_claim_a_vf_has_it_and_unknown_pfs_are_left_out() -> None:
    other = replace(ROCE, mac=Mac(0x020A00000002))
    lost = replace(ROCE, pf="elsewhere")
    stays = [stay(each, S.PROGRAMMED) for each in (ROCE, other, lost)]
    (pf,) = desired(sku(kind=FabricKind.ROCE), stays)
    assert [vf.settings[Setting.MAC] for vf in pf.vfs] == [ROCE.mac]


PCI = PciAddress(0x1800)
WANT = DesiredPf(PCI, 4, Eswitch.LEGACY, (DesiredVf(2, VfDriver.NATIVE, {}),))


def seen(made: int = 0, total: int = 8, mode: str = "legacy", driver: str = "mlx5_core") -> FoundPf:
    told: dict[Setting, int | str | tuple[int, int]] = {Setting.VFS: made, Setting.AUTOPROBE: 0}
    if mode:
        told[Setting.ESWITCH] = mode
    return FoundPf(PCI, driver, total, MappingProxyType(told))


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        ([], "pf-missing"),
        ([seen(made=2)], "vfs-in-use"),
        ([seen(total=2)], "vfs-impossible"),
        ([seen(mode="")], "eswitch-missing"),
        ([seen(made=4, mode="switchdev")], "eswitch-in-use"),
        ([seen(driver="")], "driver-unknown"),
        ([seen(driver="e1000e")], "driver-unknown"),
    ],
)
def test_what_stands_in_the_way_is_named_and_nothing_is_done(found: list[FoundPf], rule: str) -> None:
    made = plan([WANT], found)
    assert made.operations == ()
    (fault,) = made.faults
    assert (fault.object, fault.rule) == ("PF 0000:18:00.0", rule)
    assert fault.message
    assert fault.remedy


def test_no_more_vfs_are_made_than_the_firmware_allows_and_no_fewer_than_needed() -> None:
    made = [
        [
            one.after
            for one in plan([replace(WANT, count=count)], [seen(total=total)]).operations
            if one.vf is None
        ]
        for count, total in ((4, 8), (16, 8), (1, 8))
    ]
    assert made == [[4], [8], [3]]


def test_a_vf_that_is_to_be_parked_and_is_gone_needs_nothing() -> None:
    parked = DesiredPf(PCI, 4, Eswitch.SWITCHDEV, (DesiredVf(2, VfDriver.NONE, {Setting.LINK: 2}),))
    for found in (seen(), seen(made=2), seen(total=0)):
        assert plan([parked], [found]) == plan([], [])
    assert plan([parked], []).faults[0].rule == "pf-missing"


def test_a_gangs_own_policy_stands_before_the_hosts() -> None:
    one = replace(stay(ROCE, S.PROGRAMMED), policy=Policy(VfDriver.VFIO))
    (pf,) = desired(sku(kind=FabricKind.ROCE), [one])
    assert pf.vfs[0].driver is VfDriver.VFIO
