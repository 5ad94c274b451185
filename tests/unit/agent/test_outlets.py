"""Ports that VFs serve: what a host sets, when representors come and go, and what it never touches."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.agent.credence import Credence
from controller.agent.outlets import Outlets
from controller.agent.settling import Settler
from controller.store.moorings import Moorings
from ipam.devices import reading
from ipam.devices.desired import LINK_AUTO, LINK_DISABLE
from ipam.devices.plugs import Changes
from ipam.devices.serving import QUIET, Fitted, Place
from model.errors import Conflict, Fault, Unavailable
from model.fabric import FabricKind
from model.gang import GangState, Use
from model.hardware import Eswitch, parse_pci
from model.ids import HostName, Mac, Uid
from model.outlet import Outlet, Served
from tests.fakes.host import HOST, NICS, driver, mooring, moorings, reacting, take_away, told
from tests.fakes.reacting import Reacting

A, B = Uid("0000000a-0000-4000-8000-000000000000"), Uid("0000000b-0000-4000-8000-000000000000")
PF = parse_pci(NICS[1])
MAC = Mac(0x0200000000AA)
TAP = Fitted("tap0", "0000000c-0000-4000-8000-000000000000")


@dataclass
class Bridge:
    """What stands in Open vSwitch. `away`: it does not answer; `refuses`: it takes nothing."""

    there: dict[str, Fitted] = field(default_factory=lambda: {TAP.netdev: TAP})
    asked: list[Changes] = field(default_factory=list)
    looks: int = 0
    away: bool = False
    refuses: bool = False

    def look(self) -> tuple[Fitted, ...]:
        self.looks += 1
        if self.away:
            raise Unavailable(Fault("socket", "ovs-unavailable", "no answer", "See."))
        return tuple(one for _, one in sorted(self.there.items()))

    def change(self, changes: Changes, macs: dict[Uid, Mac], places: dict[str, Place]) -> None:
        if self.refuses:
            raise Conflict(Fault("database", "plugs-refused", "no", "See."))
        self.asked.append(changes)
        for netdev in changes.detach:
            assert self.there.pop(netdev).at is not None
        for netdev, uid in changes.attach:
            assert netdev not in self.there and macs[uid]
            self.there[netdev] = Fitted(netdev, uid, places[netdev])


@dataclass
class House:
    """A host: its kernel, its bridge, and the agent's hand at both. Seconds pass with `wait`."""

    home: Path
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.kernel: Reacting = reacting(self.home / "sys")
        self.bridge = Bridge()
        self.restart()

    def restart(self) -> None:
        outlets = Outlets(self.kernel, self.bridge, lambda: self.now)
        self.settler = Settler(
            self.kernel, Credence(HOST, self.home / "devices.json"), lambda: self.now, outlets
        )

    def round(self, found: Moorings) -> float | None:
        return self.settler.round(found).retry

    def rounds(self, found: Moorings, count: int = 4) -> None:
        for _ in range(count):
            self.round(found)
            self.now += 0.5

    def link(self, vf: int) -> int | None:
        return told(self.kernel, 1, vf).link


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def served(uid: Uid = A, index: int = 2, mac: Mac = MAC, use: Use = Use.CONTAINER) -> Served:
    return Served(uid, mac, Outlet("mlx1", index, use))


def said(*ports: Served, gangs: tuple = (), generation: int = 100) -> Moorings:
    """`mlx1` is a front end's PF; `mlx0` is a rail's."""
    plain = moorings(*gangs, generation=generation)
    sku = plain.skus["h"]
    front = replace(sku.pfs[1], rail=None, kind=FabricKind.ETHERNET, eswitch=Eswitch.SWITCHDEV)
    return replace(plain, skus={"h": replace(sku, pfs=(sku.pfs[0], front))}, served=ports)


def test_the_representor_comes_when_the_vf_is_set_and_the_link_after_it(house: House) -> None:
    assert house.round(said(served())) is not None
    vf = told(house.kernel, 1, 2)
    assert (vf.mac, vf.link, driver(house.kernel, NICS[1], 2)) == (MAC, LINK_DISABLE, "mlx5_core")
    assert house.kernel.mode(NICS[1]) == "switchdev"
    assert house.bridge.asked == [Changes((), (("rail1r2", A),), ())]
    assert house.bridge.there["rail1r2"] == Fitted("rail1r2", A, (PF, 2))
    house.round(said(served()))
    assert house.link(2) == LINK_AUTO
    assert house.round(said(served())) is None and len(house.bridge.asked) == 1
    assert told(house.kernel, 1, 1).mac == 0, "VF 1 is nobody's"


def test_vfs_of_vms_are_vfios(house: House) -> None:
    house.rounds(said(served(use=Use.VM)))
    assert driver(house.kernel, NICS[1], 2) == "vfio-pci" and house.link(2) == LINK_AUTO


def test_a_port_that_goes_leaves_its_vf_first_and_the_bridge_when_all_is_quiet(house: House) -> None:
    house.rounds(said(served()))
    gone = said()
    assert house.round(gone) is not None
    vf = told(house.kernel, 1, 2)
    assert (vf.mac, vf.link, driver(house.kernel, NICS[1], 2)) == (0, LINK_DISABLE, "")
    assert "rail1r2" in house.bridge.there
    house.now += QUIET - 0.1
    house.round(gone)
    assert "rail1r2" in house.bridge.there, "what it sent last may not be counted yet"
    house.now += 0.1
    house.round(gone)
    assert house.bridge.there == {TAP.netdev: TAP}
    assert house.round(gone) is None


@pytest.mark.parametrize("nodes", [True, False])
def test_an_agent_that_was_killed_takes_back_what_it_had_put_in(house: House, nodes: bool) -> None:
    house.rounds(said(served()))
    house.restart()
    gone = said() if nodes else replace(said(), nodes=(), skus={})
    house.rounds(gone, 2)
    assert house.link(2) == LINK_DISABLE
    house.now += QUIET
    house.rounds(gone, 2)
    assert set(house.bridge.there) == {"tap0"}


def test_nothing_is_touched_while_the_store_is_not_believed(house: House) -> None:
    house.rounds(said(served()))
    count, there = len(house.kernel.written), dict(house.bridge.there)
    for doubtful in (
        said(generation=99),
        replace(said(), cluster=None),
        replace(said(), cluster=Uid("00000000-0000-0000-0000-00000000eeee")),
        replace(said(), frozen=True),
        replace(said(), generation=1, nodes=(), skus={}),
    ):
        house.rounds(doubtful)
        house.now += QUIET
        house.rounds(doubtful)
    assert (len(house.kernel.written), house.bridge.there) == (count, there)
    assert house.link(2) == LINK_AUTO
    take_away(house.kernel, NICS[1])
    house.rounds(replace(said(), frozen=True))
    house.now += QUIET
    house.rounds(replace(said(), frozen=True))
    assert house.bridge.there == there, "also if its VF is gone"


def test_an_interface_stays_while_nobody_knows_how_its_vf_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PF that can't be read is not one that is not there: its VF may still be sent through."""
    house.rounds(said(served()))

    def mute(*_: object) -> None:
        raise OSError(errno.EIO, "the firmware does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "observe", mute)
        house.rounds(said())
        house.now += QUIET
        house.rounds(said())
        assert "rail1r2" in house.bridge.there
    house.rounds(said())
    house.now += QUIET
    house.rounds(said())
    assert "rail1r2" not in house.bridge.there and house.link(2) == LINK_DISABLE


def test_an_interface_stays_while_its_vfs_link_can_not_be_lowered(house: House) -> None:
    house.rounds(said(served()))
    for found in (said(), said(served(B))):
        house.kernel.broken["netlink"] = errno.EIO
        house.rounds(found)
        house.now += QUIET
        house.rounds(found)
        assert house.bridge.there["rail1r2"].uid == A


def test_another_port_on_the_same_vf_waits_until_the_first_has_left(house: House) -> None:
    house.rounds(said(served()))
    other = said(served(B, mac=Mac(MAC + 1)))
    house.round(other)
    assert (told(house.kernel, 1, 2).mac, house.link(2)) == (MAC + 1, LINK_DISABLE)
    assert house.bridge.there["rail1r2"].uid == A
    house.now += QUIET
    house.rounds(other)
    assert house.bridge.there["rail1r2"].uid == B and house.link(2) == LINK_AUTO


def test_a_port_that_changes_its_vf_never_has_two_interfaces(house: House) -> None:
    house.rounds(said(served()))
    moved = said(served(index=3))
    house.rounds(moved)
    assert "rail1r3" not in house.bridge.there and house.link(2) == LINK_DISABLE
    house.now += QUIET
    house.rounds(moved)
    assert set(house.bridge.there) == {"tap0", "rail1r3"} and house.link(3) == LINK_AUTO


def test_a_host_that_was_started_anew_has_it_again(house: House) -> None:
    house.rounds(said(served()))
    take_away(house.kernel, NICS[1])
    house.restart()
    house.rounds(said(served()))
    assert told(house.kernel, 1, 2).mac == MAC and house.link(2) == LINK_AUTO
    assert len(house.bridge.asked) == 1, "the bridge had it still"


def test_an_interface_that_somebody_else_made_is_left_alone(house: House) -> None:
    for netdev in ("rail1r2", "tap9"):
        house.bridge.there = {netdev: Fitted(netdev, A)}
        house.rounds(said(served()))
        assert house.bridge.asked == [] and house.link(2) == LINK_AUTO
        house.rounds(said())
        house.now += QUIET
        house.rounds(said())
        assert set(house.bridge.there) == {netdev}


def test_a_vf_that_a_vm_does_not_let_go_keeps_its_interface(house: House) -> None:
    """Else nobody would know that it is still to be parked."""
    house.rounds(said(served(use=Use.VM)))
    vf = (house.kernel.tree.homes[NICS[1]] / "virtfn2").readlink().name
    house.kernel.keepers.add(vf)
    house.rounds(said())
    house.now += QUIET
    house.rounds(said())
    assert house.link(2) == LINK_DISABLE and "rail1r2" in house.bridge.there
    house.kernel.keepers.clear()
    house.kernel.kept.clear()
    house.now += 60
    house.rounds(said())
    house.now += QUIET
    house.rounds(said())
    assert set(house.bridge.there) == {"tap0"}


def test_without_open_vswitch_links_stay_as_they_are(house: House) -> None:
    house.rounds(said(served()))
    house.bridge.away = True
    for found in (said(served()), said()):
        house.rounds(found)
        assert house.link(2) == LINK_AUTO
    house.bridge.away = False
    house.rounds(said())
    assert house.link(2) == LINK_DISABLE


def test_what_stands_in_the_way_is_told_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.bridge.refuses = True
    house.rounds(said(served(), served(B, 9)))
    told_of = [record.message for record in caplog.records if "not served" in record.message]
    assert len(told_of) == 2 and any("VF 9" in line for line in told_of), told_of
    assert house.link(2) == LINK_DISABLE, "no representor, no link"


def test_gangs_are_served_beside_them(house: House) -> None:
    """A gang has VFs of the rail's PF alone here."""
    gang = mooring(7, GangState.PROGRAMMED)
    gang = replace(gang, berth=replace(gang.berth, interfaces=gang.berth.interfaces[:1]))
    house.rounds(said(served(), gangs=(gang,)))
    assert told(house.kernel, 0, 1).mac and house.link(2) == LINK_AUTO


def test_hosts_that_serve_nothing_look_once(house: House) -> None:
    for _ in range(5):
        assert house.settler.round(replace(moorings(), nodes=(), skus={})).retry is None
    assert house.bridge.looks == 1 and house.kernel.written == []
    assert HostName("hv1") == HOST


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_links_are_up_only_with_their_own_representor(house: House, seed: int) -> None:
    """Ports that come, go and change VFs, agents that are killed, Open vSwitch away: at each moment no port
    has two interfaces and no link is up for another port; and at the end all is as wanted."""
    rng = random.Random(seed)
    macs = {A: MAC, B: Mac(MAC + 1)}
    found = said()
    for turn in range(40):
        if rng.random() < 0.3:
            places = rng.sample(range(3), 2)
            ports = [served(uid, at, macs[uid]) for uid, at in zip(macs, places, strict=True)]
            found = said(*sorted(rng.sample(ports, rng.randrange(3)), key=lambda port: port.uid))
        house.bridge.away, house.bridge.refuses = rng.random() < 0.15, rng.random() < 0.15
        if rng.random() < 0.15:
            house.restart()
        house.round(found)
        house.now += rng.choice((0.5, 0.5, 5.0))
        _check(house, macs, turn)
    house.bridge.away = house.bridge.refuses = False
    for _ in range(4):
        house.rounds(found)
        house.now += QUIET
    wanted = {
        Fitted(f"rail1r{port.outlet.index}", port.uid, (PF, port.outlet.index)) for port in found.served
    }
    assert set(house.bridge.look()) == wanted | {TAP}
    assert {vf for vf in range(3) if house.bridge.there and _up(house, vf)} == {
        port.outlet.index for port in found.served
    }


def _up(house: House, vf: int) -> bool:
    there = house.kernel.told["rail1"].get(vf)
    return there is not None and bool(there.mac) and there.link == LINK_AUTO


def _check(house: House, macs: dict[Uid, Mac], turn: int) -> None:
    there = house.bridge.there.values()
    assert TAP in there
    uids = [one.uid for one in there]
    assert len(uids) == len(set(uids)), (turn, uids)
    serves = {one.at: macs[Uid(one.uid)] for one in there if one.at is not None}
    for vf in range(3):
        if _up(house, vf):
            assert serves.get((PF, vf)) == told(house.kernel, 1, vf).mac, turn
