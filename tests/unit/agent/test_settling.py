"""What a host does to its devices for gangs, and says of them: by what was read back, and never too much."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from controller.agent.credence import Credence
from controller.agent.settling import FIRST_PAUSE, LONGEST_PAUSE, Settler
from controller.store.moorings import Moorings
from ipam.devices.desired import LINK_AUTO, LINK_DISABLE
from model.bearing import HostPart, Reached
from model.fabric import FabricKind
from model.gang import GangState, Use
from model.ids import Uid
from tests.fakes.host import (
    CLUSTER,
    HOST,
    NICS,
    driver,
    mooring,
    moorings,
    reacting,
    reboot,
    take_away,
    told,
)
from tests.fakes.reacting import Reacting

S, R = GangState, Reached
KINDS = [FabricKind.ROCE, FabricKind.INFINIBAND]


@pytest.fixture
def kernel(tmp_path: Path) -> Reacting:
    return reacting(tmp_path / "sys")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settler(kernel: Reacting, tmp_path: Path, clock: Clock) -> Settler:
    return Settler(kernel, Credence(HOST, tmp_path / "devices.json"), clock)


def only(settler: Settler, found: Moorings) -> HostPart:
    (part,) = settler.round(found).parts
    return part


def active(settler: Settler) -> Moorings:
    """Bring a gang up."""
    only(settler, moorings(mooring(7, S.PROGRAMMED)))
    found = moorings(mooring(7, S.ACTIVE))
    assert only(settler, found) == HostPart(7, S.ACTIVE, S.ACTIVE, R.UP)
    return found


def rules(part: HostPart) -> set[str]:
    return {fault.rule for fault in part.faults}


@pytest.mark.parametrize("kind", KINDS)
def test_a_gang_goes_its_way_and_each_step_is_read_back(
    settler: Settler, kernel: Reacting, kind: FabricKind
) -> None:
    def at(state: GangState, begun: GangState | None = None) -> HostPart:
        return only(settler, moorings(mooring(7, state, begun, kind=kind), kind=kind))

    assert at(S.RESERVED) == HostPart(7, S.RESERVED, S.RESERVED, R.NOTHING)
    assert kernel.written == [], "the store does not say yet that anything may have to be undone"
    assert at(S.RESERVED, S.PROGRAMMED) == HostPart(7, S.RESERVED, S.PROGRAMMED, R.SET)
    vf = told(kernel, 1, 1)
    assert vf.link == LINK_DISABLE and driver(kernel, NICS[1], 1) == "mlx5_core"
    assert bool(vf.mac) is (kind is FabricKind.ROCE) and bool(vf.port_guid) is (kind is FabricKind.INFINIBAND)
    count = len(kernel.written)
    for state, begun in ((S.PROGRAMMED, S.PROGRAMMED), (S.PROGRAMMED, S.VERIFIED), (S.VERIFIED, S.VERIFIED)):
        assert at(state, begun) == HostPart(7, state, begun, R.SET)
    assert len(kernel.written) == count
    assert at(S.VERIFIED, S.ACTIVE) == HostPart(7, S.VERIFIED, S.ACTIVE, R.UP)
    assert at(S.ACTIVE) == HostPart(7, S.ACTIVE, S.ACTIVE, R.UP)
    assert told(kernel, 0, 1).link == LINK_AUTO
    assert told(kernel, 0, 0).link == 0 and driver(kernel, NICS[0], 0) == "", "VF 0 is nobody's"
    assert at(S.RELEASING, S.ACTIVE) == HostPart(7, S.RELEASING, S.ACTIVE, R.PARKED)
    assert (told(kernel, 0, 1).mac, told(kernel, 0, 1).link) == (0, LINK_DISABLE)
    assert driver(kernel, NICS[0], 1) == ""
    assert settler.round(moorings(mooring(7, S.RELEASED, S.PLANNED, kind=kind), kind=kind)).parts == ()


def test_vfs_of_vms_are_vfios(settler: Settler, kernel: Reacting) -> None:
    plain = mooring(7, S.PROGRAMMED)
    gang = replace(plain, request=replace(plain.request, use=Use.VM))
    assert only(settler, moorings(gang)).reached is R.SET
    assert [driver(kernel, nic, 1) for nic in NICS] == ["vfio-pci"] * 2


def test_a_host_that_is_no_node_costs_nothing(settler: Settler, kernel: Reacting) -> None:
    found = replace(moorings(mooring(7, S.ACTIVE)), nodes=())
    assert settler.round(found).parts == ()
    assert (kernel.written, settler.doing) == ([], None)


def test_what_never_began_is_parked_without_a_touch(settler: Settler, kernel: Reacting) -> None:
    assert only(settler, moorings(mooring(7, S.RELEASING, S.RESERVED))).reached is R.PARKED
    assert only(settler, moorings(mooring(7, S.FAILED, S.RESERVED))).reached is R.PARKED
    assert kernel.written == []


def test_a_gang_that_goes_from_a_host_that_lost_its_vfs_is_parked(settler: Settler, kernel: Reacting) -> None:
    active(settler)
    reboot(kernel)
    count = len(kernel.written)
    assert only(settler, moorings(mooring(7, S.RELEASING, S.ACTIVE))).reached is R.PARKED
    assert len(kernel.written) == count, "no VFs are made in order to park them"


STOPS = [
    ("store-empty", {"cluster": None}, "empty"),
    ("other-cluster", {"cluster": Uid("other")}, "cluster-other"),
    ("older-generation", {"generation": 99}, "generation-99"),
    ("frozen", {"frozen": True}, ""),
]


@pytest.mark.parametrize(("rule", "change", "token"), STOPS)
def test_a_store_that_is_not_believed_touches_nothing(
    settler: Settler, kernel: Reacting, tmp_path: Path, rule: str, change: dict[str, object], token: str
) -> None:
    active(settler)
    count = len(kernel.written)
    wrong = replace(moorings(mooring(7, S.RELEASING, S.ACTIVE)), **change)  # type: ignore[arg-type]
    again = Settler(kernel, Credence(HOST, tmp_path / "devices.json"), Clock())
    for life in (settler, again):
        part = only(life, wrong)
        assert (part.reached, rules(part)) == (R.NOTHING, {rule})
        assert token in part.faults[0].remedy
    assert len(kernel.written) == count
    if rule in {"other-cluster", "older-generation"}:
        told_so = replace(wrong, confirm=token)
        assert only(again, told_so) == HostPart(7, S.RELEASING, S.ACTIVE, R.PARKED)
    right = moorings(mooring(7, S.RELEASING, S.ACTIVE))
    assert only(settler, right) == HostPart(7, S.RELEASING, S.ACTIVE, R.PARKED)


def test_nothing_is_touched_if_it_cant_be_remembered(kernel: Reacting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settler = Settler(kernel, Credence(HOST, tmp_path / "file" / "devices.json"), Clock())
    with pytest.raises(OSError):
        settler.round(moorings(mooring(7, S.ACTIVE)))
    assert kernel.written == []


@pytest.mark.parametrize("broken", ["", "{", '{"cluster": 5}', "[]", "\0"])
def test_a_broken_memory_counts_as_none(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "devices.json"
    path.write_text(broken)
    credence = Credence(HOST, path)
    assert credence.judge(moorings(generation=1)) is None
    credence.obey(moorings(generation=5))
    credence.keep()
    assert Credence(HOST, path).judge(moorings(generation=4)) is not None


@pytest.mark.parametrize("lose", [reboot, lambda kernel: take_away(kernel, NICS[1])])
def test_vfs_that_vanish_under_a_gang_are_made_again_and_told(
    settler: Settler, kernel: Reacting, clock: Clock, lose: object
) -> None:
    found = active(settler)
    assert callable(lose)
    for nic in NICS:  # the kernel's drivers let go first
        for vf in range(4):
            address = (kernel.tree.homes[nic] / f"virtfn{vf}").readlink().name
            (kernel.tree.homes[address] / "driver").unlink(missing_ok=True)
    lose(kernel)
    part = only(settler, found)
    assert (part.reached, rules(part)) == (R.UP, {"vfs-vanished"})
    assert told(kernel, 1, 1).mac and driver(kernel, NICS[1], 1) == "mlx5_core"
    clock.now += 60
    assert rules(only(settler, found)) == {"vfs-vanished"}
    clock.now += 3600
    assert only(settler, found) == HostPart(7, S.ACTIVE, S.ACTIVE, R.UP)


def test_a_new_life_of_the_agent_tells_what_the_host_lost_meanwhile(kernel: Reacting, tmp_path: Path) -> None:
    found = active(Settler(kernel, Credence(HOST, tmp_path / "d"), Clock()))
    reboot(kernel)
    part = only(Settler(kernel, Credence(HOST, tmp_path / "d"), Clock()), found)
    assert (part.reached, rules(part)) == (R.UP, {"vfs-vanished"})


def test_who_changes_a_vf_is_set_right_and_told(settler: Settler, kernel: Reacting) -> None:
    found = moorings(mooring(7, S.PROGRAMMED))
    only(settler, found)
    vf = told(kernel, 0, 1)
    kernel.told["rail0"][1] = replace(vf, mac=0x66, trust=1)
    part = only(settler, found)
    assert (part.reached, rules(part)) == (R.SET, {"vfs-changed"})
    assert "trust 1 -> 0" in part.faults[0].message
    assert told(kernel, 0, 1) == vf


def test_a_device_that_refuses_is_asked_with_growing_pauses_and_alone(
    settler: Settler, kernel: Reacting, clock: Clock
) -> None:
    found = moorings(mooring(7, S.PROGRAMMED))
    kernel.broken["bind"] = errno.EIO
    part = only(settler, found)
    assert (part.reached, rules(part)) == (R.NOTHING, {"driver-refused"})
    assert {f.object for f in part.faults} == {f"VF 1 of {nic}" for nic in NICS}, "each VF is tried"
    asked: list[float] = []
    retry: float | None = 0.5
    while len(asked) < 9:
        assert retry is not None and retry > 0
        clock.now += min(retry, 5.0)
        count = len(kernel.written)
        retry = settler.round(found).retry
        if len(kernel.written) > count:
            asked.append(clock.now)
    gaps = [b - a for a, b in zip([1000.0, *asked], asked, strict=False)]
    assert gaps[:4] == [FIRST_PAUSE, 2.0, 4.0, 8.0] and max(gaps) == LONGEST_PAUSE
    kernel.broken.clear()
    part = only(settler, moorings(mooring(7, S.FAILED, S.PROGRAMMED)))
    assert (part.reached, part.faults) == (R.PARKED, ()), "what is asked now is another thing: at once"


def test_a_nic_that_lowers_no_link_bears_nothing_and_lets_the_gang_go(
    settler: Settler, kernel: Reacting
) -> None:
    kernel.broken["netlink"] = errno.EOPNOTSUPP
    part = only(settler, moorings(mooring(7, S.PROGRAMMED)))
    assert (part.reached, rules(part)) == (R.NOTHING, {"link-unsupported"})
    going = moorings(mooring(7, S.FAILED, S.PROGRAMMED))
    assert only(settler, going) == HostPart(7, S.FAILED, S.PROGRAMMED, R.PARKED)
    anew = Settler(kernel, Credence(HOST, kernel.root.parent / "devices.json"), Clock())
    assert only(anew, going).reached is R.NOTHING, "it does not know that yet"
    assert only(anew, going) == HostPart(7, S.FAILED, S.PROGRAMMED, R.PARKED)


def test_one_that_refuses_does_not_stop_others(settler: Settler, kernel: Reacting) -> None:
    kernel.tree.remove(NICS[1])
    one, other = mooring(7, S.PROGRAMMED), mooring(8, S.PROGRAMMED, vf=2)
    other = replace(other, berth=replace(other.berth, interfaces=other.berth.interfaces[:1]))
    parts = settler.round(moorings(one, other)).parts
    assert [(p.generation, p.reached, rules(p)) for p in parts] == [
        (7, R.NOTHING, {"pf-missing"}),
        (8, R.SET, set()),
    ]


def test_a_nic_that_cant_be_read_is_left_alone(
    settler: Settler, kernel: Reacting, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = active(settler)
    count, links = len(kernel.written), kernel.links

    def mute(netdev: str) -> object:
        if netdev == "rail0":
            raise OSError(errno.ETIMEDOUT, "timed out")
        return links(netdev)

    monkeypatch.setattr(kernel, "links", mute)
    part = only(settler, found)
    assert (part.reached, rules(part)) == (R.NOTHING, {"pf-unreadable"})
    monkeypatch.undo()
    assert only(settler, found) == HostPart(7, S.ACTIVE, S.ACTIVE, R.UP)
    assert len(kernel.written) == count


def test_two_nodes_of_one_host_and_strangers_are_faults(settler: Settler, kernel: Reacting) -> None:
    found = moorings(mooring(7, S.PROGRAMMED))
    twice = replace(found, nodes=(*found.nodes, replace(found.nodes[0], name="n2")))
    for wrong in (twice, moorings(mooring(7, S.PROGRAMMED, node="n9"))):
        part = only(settler, wrong)
        assert (part.reached, rules(part)) == (R.NOTHING, {"node-unclear"})
    assert kernel.written == []


def test_of_two_gangs_on_one_vf_the_first_has_it(settler: Settler, kernel: Reacting) -> None:
    second = mooring(8, S.PROGRAMMED)
    faces = tuple(replace(i, mac=type(i.mac)(i.mac + 99)) for i in second.berth.interfaces)
    second = replace(second, berth=replace(second.berth, interfaces=faces))
    one, two = settler.round(moorings(second, mooring(7, S.PROGRAMMED))).parts
    assert (one.reached, one.faults, two.reached, rules(two)) == (R.SET, (), R.NOTHING, {"vf-twice"})
    assert told(kernel, 0, 1).mac == mooring(7, S.ACTIVE).berth.interfaces[0].mac


def test_a_pf_that_the_sku_lost_is_a_fault(settler: Settler, kernel: Reacting) -> None:
    found = moorings(mooring(7, S.PROGRAMMED))
    less = replace(found.skus["h"], pfs=found.skus["h"].pfs[:1])
    part = only(settler, replace(found, skus={"h": less}))
    assert (part.reached, rules(part), kernel.written) == (R.NOTHING, {"pf-undeclared"}, [])


def test_a_node_that_was_vouched_for_parks_what_it_comes_back_with(
    settler: Settler, kernel: Reacting
) -> None:
    active(settler)
    gone = replace(mooring(7, S.RELEASED, S.PLANNED), vouched=("n1",))
    assert settler.round(moorings(replace(gone, vouched=("n2",)))).parts == ()
    assert told(kernel, 0, 1).link == LINK_AUTO
    other = mooring(9, S.PROGRAMMED)
    lone = replace(other, berth=replace(other.berth, interfaces=other.berth.interfaces[1:]))
    (part,) = settler.round(moorings(gone, lone)).parts
    assert (part.generation, part.reached) == (9, R.SET)
    assert (told(kernel, 0, 1).mac, driver(kernel, NICS[0], 1)) == (0, "")
    assert told(kernel, 1, 1).mac and CLUSTER


class Crash(BaseException):
    """The process ends here."""


class Mortal:
    """A kernel under a process that dies after so many writes, or in the middle of the last one."""

    def __init__(self, kernel: Reacting, left: int) -> None:
        self._kernel, self._left = kernel, left

    def __getattr__(self, name: str) -> object:
        found = getattr(self._kernel, name)
        if name not in {"write", "drive", "send", "set_mode"}:
            return found

        def mortal(*given: object) -> None:
            if not self._left:
                raise Crash
            self._left -= 1
            found(*given)

        return mortal


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_after_any_write_is_made_good_by_the_next_life(tmp_path: Path, kind: FabricKind) -> None:
    way = [(S.RESERVED, S.PROGRAMMED), (S.VERIFIED, S.ACTIVE), (S.RELEASING, S.ACTIVE)]
    ends = [R.SET, R.UP, R.PARKED]
    for step, (state, begun) in enumerate(way):
        found = moorings(mooring(7, state, begun, kind=kind), kind=kind)
        died = 0
        while True:
            root = tmp_path / f"{kind.value}-{step}-{died}"
            kernel = reacting(root / "sys")
            for before in way[:step]:
                settler = Settler(kernel, Credence(HOST, root / "d"), Clock())
                settler.round(moorings(mooring(7, *before, kind=kind), kind=kind))
            mortal = Mortal(kernel, died)
            try:
                Settler(mortal, Credence(HOST, root / "d"), Clock()).round(found)  # type: ignore[arg-type]
            except Crash:
                part = only(Settler(kernel, Credence(HOST, root / "d"), Clock()), found)
                assert part == HostPart(7, state, begun, ends[step]), died
                died += 1
            else:
                break
        assert died > (1 if state is S.VERIFIED else 3)
