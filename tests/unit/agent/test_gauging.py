"""Gangs' devices, from the store's word to the ledger's rows: real rooms, a made-up kernel that counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from accounting.bypass.count import Account
from accounting.classes import INBOUND, UNCLASSIFIED
from accounting.encode import parse_step
from accounting.journal import Journal, Refused, Written
from accounting.records import Cause, Gap, Interval
from controller.agent import gauging as gauging_module
from controller.agent.claims import claims, interface_uid, name
from controller.agent.credence import Credence
from controller.agent.gauging import Clocks, Gauging, Watched
from controller.agent.settling import Settler
from controller.store.gangs import gang_uid
from controller.store.moorings import Moorings
from ipam.devices import tallies
from ipam.devices.vf_counts import VfCount
from model.errors import Unavailable
from model.fabric import FabricKind
from model.gang import GangState, Use
from model.hardware import parse_pci
from model.ids import Uid
from tests.fakes.host import HOST, NICS, mooring, moorings, reacting
from tests.fakes.reacting import Reacting

S = GangState
TENANT = Uid("00000000-0000-0000-0000-0000000000ac")
VF = name(parse_pci(NICS[0]), 1)
OUT, IN = UNCLASSIFIED, UNCLASSIFIED | INBOUND


@dataclass
class Host:
    """`counts`: packets and bytes out and in of VF 1 on rail 0."""

    kernel: Reacting
    directory: Path
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    now: int = 1_000_000
    silent: bool = False
    boot: str = "boot-1"

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """An agent's life."""
        self.journal = Journal(self.directory / "journal")
        read = partial(tallies.observe, self.kernel.root, self._counts)
        clocks = Clocks(lambda: self.now, lambda: self.now)
        self.gauging = Gauging(self.journal, read, HOST, self.boot, clocks)
        credence = Credence(HOST, self.directory / "devices.json")
        self.settler = Settler(
            Watched(self.kernel, self.gauging), credence, time.monotonic, follow=self._follow
        )

    def die(self) -> None:
        """Killed: what is in memory is lost."""
        self.journal.close()

    def _follow(self, found: Moorings) -> None:
        self.gauging.follow(claims(found))

    def _counts(self, netdev: str) -> Mapping[int, VfCount]:
        if self.silent:
            return {}
        here = VfCount((self.counts[0], self.counts[1]), (self.counts[2], self.counts[3]))
        return {0: VfCount((0, 0), (0, 0)), 1: here if netdev == "rail0" else VfCount((0, 0), (0, 0))}

    def round(self, *gangs: object) -> None:
        found = replace(moorings(*gangs), tenants={"acme": TENANT})
        self.settler.round(found)

    def pass_(self, out: int, got: int = 0) -> None:
        """Packets of 1,000 bytes; a second goes by."""
        self.counts = [a + b for a, b in zip(self.counts, (out, out * 1_000, got, got * 1_000), strict=True)]
        self.now += 1_000

    def up(self, generation: int) -> None:
        self.round(mooring(generation, S.RESERVED, S.PROGRAMMED))
        self.round(mooring(generation, S.ACTIVE))

    def down(self, generation: int) -> None:
        self.round(mooring(generation, S.RELEASING, S.ACTIVE))
        self.counts = [0, 0, 0, 0]
        self.round(mooring(generation, S.RELEASED, S.PLANNED))

    def records(self) -> list[Interval | Gap]:
        steps = [parse_step(frame.body) for frame in self.journal.pending(1_000)]
        return [r for step in steps for r in step.records if isinstance(r, Interval | Gap)]

    def billed(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for record in self.records():
            if isinstance(record, Interval):
                key = (record.owner.network_name, record.series[1])
                found[key] = found.get(key, 0) + record.bytes
        return found

    def gaps(self) -> list[Gap]:
        return [record for record in self.records() if isinstance(record, Gap)]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    kernel = reacting(tmp_path / "sys")
    for nic in NICS:
        (kernel.tree.homes[nic] / "current_link_speed").write_text("16.0 GT/s PCIe\n")
        (kernel.tree.homes[nic] / "current_link_width").write_text("16\n")
    return Host(kernel, tmp_path / "state")


def test_a_gang_s_bytes_are_its_tenant_s_with_names_and_direction(host: Host) -> None:
    host.up(7)
    host.pass_(10, 3)
    host.gauging.tick()
    host.pass_(5)
    host.gauging.tick()
    first, received, second = host.records()
    assert isinstance(first, Interval) and isinstance(received, Interval) and isinstance(second, Interval)
    assert [r.series[1] for r in (first, received, second)] == [OUT, IN, OUT]
    assert [(r.packets, r.bytes) for r in (first, received, second)] == [(10, 10_000), (3, 3_000), (5, 5_000)]
    assert (first.class_name, first.datapath, first.header_bytes) == ("unclassified", "vf", 0)
    assert first.owner.port_name == "job7/n1/r0-1"
    assert first.owner.port_uid == interface_uid(7, "n1", "mlx0", 1)
    assert (first.owner.tenant_uid, first.owner.tenant_name) == (TENANT, "acme")
    assert (first.owner.network_uid, first.owner.network_name) == (gang_uid(7), "job7")
    assert first.run.vswitchd_start.startswith(f"device {VF} pf 7 vf ")
    assert second.counter == (15, 15_000)
    assert (second.from_ms, second.to_ms) == (first.to_ms, host.now)
    host.gauging.tick()
    assert len(host.records()) == 3, "what stood still is not written"


def test_a_vf_goes_from_gang_to_gang_and_each_pays_its_own(host: Host) -> None:
    """Also what passed after the last tick, and though the driver resets the counters in between."""
    for generation, size in ((7, 11), (8, 22), (9, 33)):
        host.up(generation)
        host.pass_(size, 2 * size)
        host.down(generation)
    assert host.billed() == {
        ("job7", OUT): 11_000, ("job7", IN): 22_000, ("job8", OUT): 22_000,
        ("job8", IN): 44_000, ("job9", OUT): 33_000, ("job9", IN): 66_000,
    }  # fmt: skip
    assert host.gaps() == []
    sequences = [record.sequence for record in host.records()]
    assert len(set(sequences)) == len(sequences)


def test_the_last_reading_stands_between_link_and_driver(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes until the link is down is billed, and what the driver forgets is not missed."""
    host.up(7)
    host.pass_(10)
    send, drive = host.kernel.send, host.kernel.drive

    def sent(message: bytes) -> None:
        monkeypatch.setattr(host.kernel, "send", send)
        host.pass_(7)
        send(message)

    def driven(address: str, path: str, text: str) -> None:
        drive(address, path, text)
        host.counts = [0, 0, 0, 0]

    monkeypatch.setattr(host.kernel, "send", sent)
    monkeypatch.setattr(host.kernel, "drive", driven)
    host.down(7)
    assert (host.billed(), host.gaps()) == ({("job7", OUT): 17_000}, [])


def test_an_agent_that_is_killed_goes_on_where_it_was(host: Host) -> None:
    host.up(7)
    host.pass_(10)
    host.gauging.tick()
    host.pass_(20)
    host.die()
    host.begin()
    host.gauging.tick()
    assert host.billed() == {("job7", OUT): 10_000}, "nobody is believed before the store has spoken"
    host.round(mooring(7, S.ACTIVE))
    host.pass_(5)
    host.down(7)
    assert host.billed() == {("job7", OUT): 35_000}
    assert host.gaps() == []


def test_a_gang_that_went_while_no_agent_ran_gets_all_of_its_bytes(host: Host) -> None:
    host.up(7)
    host.pass_(10)
    host.die()
    host.begin()
    host.round()
    assert host.billed() == {("job7", OUT): 10_000}


def test_a_full_disk_bills_later_and_a_kill_meanwhile_bills_nobody_else(host: Host) -> None:
    host.up(7)
    host.pass_(1)
    host.gauging.tick()
    append = host.journal.append
    host.journal.append = lambda *_: Refused("disk full")
    host.pass_(10)
    host.gauging.tick()
    host.gauging.tick()
    assert host.gauging.alarms() == ("the journal of gangs' devices takes nothing: is the disk full?",)
    host.journal.append = append
    host.gauging.tick()
    assert host.gauging.alarms() == ()
    assert host.billed() == {("job7", OUT): 11_000}
    host.journal.append = lambda *_: Refused("disk full")
    host.pass_(100)
    counts = host.counts
    host.down(7)
    host.counts = counts
    host.up(8)
    host.pass_(1_000)
    host.die()
    host.begin()
    host.round(mooring(8, S.ACTIVE))
    assert host.billed() == {("job7", OUT): 11_000}
    gaps = host.gaps()
    assert {(gap.owner.network_name, gap.cause) for gap in gaps if gap.port == 2} == {
        ("job7", Cause.OWNER_UNCLEAR),
        ("job8", Cause.OWNER_UNCLEAR),
    }
    assert all(gap.bound is not None and gap.bound > 1_100_000 for gap in gaps)


def test_zeros_of_a_device_that_does_not_answer_are_no_reset(host: Host) -> None:
    host.up(7)
    host.pass_(10)
    host.gauging.tick()
    there, host.counts = host.counts, [0, 0, 0, 0]
    for _ in range(3):
        host.gauging.tick()
    host.counts = there
    host.pass_(5)
    host.gauging.tick()
    assert (host.billed(), host.gaps()) == ({("job7", OUT): 15_000}, [])


def test_a_reset_under_a_gang_is_a_gap_with_the_bus_as_its_bound(host: Host) -> None:
    host.up(7)
    host.pass_(10)
    host.gauging.tick()
    host.counts = [1, 1_000, 0, 0]
    host.now += 1_000
    host.gauging.tick()
    (gap,) = host.gaps()
    assert (gap.cause, gap.bound) == (Cause.COUNTER_FELL, 2 * 32_000_000_000 * 6)
    assert host.billed() == {("job7", OUT): 10_000}


def test_a_device_that_can_not_be_read_is_told_once_and_counted_when_it_can(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.up(7)
    host.silent = True
    host.pass_(10)
    host.gauging.tick()
    assert host.gauging.alarms() == ()
    for _ in range(2):
        host.gauging.tick()
    assert [record.message for record in caplog.records].count(
        f"device not counted vf={VF} host=hv1: its counters can't be read here"
    ) == 1
    (alarm,) = host.gauging.alarms()
    both = ", ".join(name(parse_pci(nic), 1) for nic in NICS)
    assert alarm == f"traffic of gangs' devices is not counted: {both}: counters can't be read"
    host.silent = False
    host.gauging.tick()
    assert host.gauging.alarms() == ()
    assert (host.billed(), host.gaps()) == ({("job7", OUT): 10_000}, [])
    host.silent = True
    host.pass_(10)
    host.down(7)
    assert {gap.cause for gap in host.gaps()} == {Cause.DEVICE_UNREAD}


def test_a_journal_that_was_lost_bills_nothing_twice(host: Host, tmp_path: Path) -> None:
    host.up(7)
    host.pass_(10)
    host.gauging.tick()
    host.die()
    (tmp_path / "state/journal").rename(tmp_path / "gone")
    host.begin()
    host.round(mooring(7, S.ACTIVE))
    assert host.billed() == {}
    assert [(gap.cause, gap.bound) for gap in host.gaps()] == [(Cause.JOURNAL_MISSING, 10_000)]
    host.pass_(1)
    host.gauging.tick()
    assert host.billed() == {("job7", OUT): 1_000}


def test_a_journal_of_another_kind_is_refused(host: Host) -> None:
    written = host.journal.append(b"{}", lambda: b'{"format": 99}')
    assert isinstance(written, Written)
    host.die()
    with pytest.raises(Unavailable, match="not understood"):
        host.begin()
    host.die()


def test_the_thread_reads_by_itself(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauging_module, "EVERY", 0.01)
    host.up(7)
    host.gauging.start()
    host.pass_(10)
    deadline = time.monotonic() + 20
    while host.billed() != {("job7", OUT): 10_000}:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    host.gauging.stop()


def test_a_defect_of_the_counting_keeps_no_gang_from_its_devices(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(netdev: str) -> Mapping[int, VfCount]:
        raise RuntimeError(netdev)

    monkeypatch.setattr(host, "_counts", broken)
    host.die()
    host.begin()
    host.up(7)
    assert host.kernel.told["rail0"][1].mac != 0
    monkeypatch.undo()
    host.die()
    host.begin()
    host.pass_(10)
    host.round(mooring(7, S.ACTIVE))
    assert (host.billed(), {gap.cause for gap in host.gaps()}) == ({}, {Cause.OWNER_UNCLEAR})


def test_claims_follow_the_store() -> None:
    plain = mooring(7, S.ACTIVE, kind=FabricKind.INFINIBAND)
    vm = replace(plain, request=replace(plain.request, use=Use.VM))
    found = claims(moorings(vm, mooring(8, S.ACTIVE), kind=FabricKind.INFINIBAND))
    claim = found[VF]
    assert (claim.holding.generation, claim.subject.kind, claim.subject.use) == (
        7, FabricKind.INFINIBAND, Use.VM,
    )  # fmt: skip
    assert sorted(each.holding.number for each in found.values()) == [2, 258]
    for state, begun in ((S.RESERVED, S.RESERVED), (S.RELEASED, S.PLANNED), (S.PLANNED, S.PLANNED)):
        assert claims(moorings(mooring(7, state, begun))) == {}
    (going, *_) = claims(moorings(mooring(7, S.FAILED, S.ACTIVE))).values()
    assert (going.holding.up, going.holding.going) == (True, True)
    assert claims(replace(moorings(mooring(7, S.ACTIVE)), nodes=())) == {}


def test_what_a_gang_of_the_past_had_is_read_as_it_was(host: Host) -> None:
    host.up(7)
    account = host.gauging.state.accounts[VF]
    assert isinstance(account, Account) and account.tally is not None
    assert account.holding is not None and account.holding.generation == 7
