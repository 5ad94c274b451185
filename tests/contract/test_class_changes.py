"""Packets of a real data path whose class changes right behind them: what was counted stays where it is."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from accounting.encode import parse_step
from accounting.journal import Journal
from accounting.records import Cause, Gap, Interval
from controller.agent import metering
from controller.agent.meter import Meter
from controller.agent.metering import Metering
from controller.agent.standstill import Stillness, still
from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.change import Change, Part, Patch
from model.ids import ClassId
from pipelines import cookies
from pipelines.accounts import ACCOUNT_TABLE
from pipelines.compile import compile, install, recompile
from tests.contract.conftest import PORTS
from tests.contract.ovs import PrivateOvs, eventually
from tests.fakes import world
from topologies.traffic.endpoint import Endpoint, open_socket

BURST = 100
ROUNDS = 6
TRIES = 40
"""Rounds at most, where one shows nothing if the machine did something else just then."""
SENDER, RECEIVER = 0x020000000001, 0x020000000002
TO = (("10.0.0.1", "10.9.1.1"), ("fd00::1", "2001:db8::1"))
"""From a port of network 1 to prefixes of class 2; class 3 gets them, and gives them back."""


def frame(source: str, target: str) -> bytes:
    """An IP packet without content (RFC 791 section 3.1, RFC 8200 section 3)."""
    one, other = ip_address(source), ip_address(target)
    ethernet = RECEIVER.to_bytes(6) + SENDER.to_bytes(6)
    if one.version == 4:
        head = bytes.fromhex("4500001400000000 40fd0000".replace(" ", ""))
        total = sum(int.from_bytes((head + one.packed + other.packed)[i : i + 2]) for i in range(0, 20, 2))
        check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        return ethernet + b"\x08\x00" + head[:10] + check.to_bytes(2) + one.packed + other.packed
    return ethernet + b"\x86\xdd" + bytes.fromhex("600000000000fd40") + one.packed + other.packed


@dataclass
class Bench:
    """A switch with a sender at its port 1. `forth` and `back`: what the classes' exchange changes."""

    ovs: PrivateOvs
    channel: Channel
    wire: socket.socket
    forth: Patch
    back: Patch

    def looked_up(self) -> int:
        """Packets that the data path has handled: known to it at once, long before the flows are told."""
        shown = unixctl.call(self.ovs.rundir, "dpctl/show", "netdev@ovs-netdev")
        found = re.search(r"hit:(\d+) missed:(\d+)", shown)
        assert found is not None, shown
        return int(found[1]) + int(found[2])

    def send(self) -> None:
        before = self.looked_up()
        for source, target in TO:
            for _ in range(BURST):
                self.wire.send(frame(source, target))
        eventually(lambda: self.looked_up() >= before + 2 * BURST, "packets are still on their way")

    def counted(self) -> dict[int, int]:
        """Packets by class, all told."""
        self.ovs.tell()
        found = self.channel.counters(ACCOUNT_TABLE)
        sums: dict[int, int] = {}
        for cookie, packets in zip(found.cookie.tolist(), found.packets.tolist(), strict=True):
            said = cookies.parse(cookie)
            assert said is not None
            sums[said.cls] = sums.get(said.cls, 0) + packets
        return sums

    def cookies(self) -> list[int]:
        """Of all counters."""
        return self.channel.counters(ACCOUNT_TABLE).cookie.tolist()

    def round(self, change: Callable[[Callable[[], None]], bool], cls: int) -> int | None:
        """Send as `cls`, change classes at once: how many packets were not counted as what they were.

        None if the change may not have been at a standstill.
        """
        patch, before = (self.forth if cls == 2 else self.back), self.counted()
        self.send()
        proven = change(lambda: bool(self.channel.send(patch)))
        after = self.counted()
        moved = 2 * BURST - (after[cls] - before[cls])
        assert after[5 - cls] - before[5 - cls] == moved, "but none is lost"
        return moved if proven else None


@pytest.fixture
def bench(own_ovs: PrivateOvs) -> Iterator[Bench]:
    own_ovs.lay_bridge(*PORTS)
    inside = ("nsenter", f"--net={own_ovs.namespace()}")
    own_ovs.run(*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    for name, _ in PORTS[:2]:
        own_ovs.run(*inside, "ip", "link", "set", name, "up")
    plain = world.two_tenants()
    two, three = plain.classes[ClassId(2)], plain.classes[ClassId(3)]
    given = [two.prefixes[0], two.prefixes[2]]
    less = replace(two, prefixes=two.prefixes[1:2])
    more = replace(three, prefixes=(*three.prefixes, *given))
    turned = world.added(plain, less, more)
    changes = [Change(Part.CLASS, ClassId(n)) for n in (2, 3)]
    program = compile(plain)
    other, forth = recompile(program, plain, turned, changes)
    _, back = recompile(other, turned, plain, changes)
    channel = Channel(own_ovs.management, Encoder())
    assert channel.send(install(program)).refused == ()
    pid = int(own_ovs.namespace().split("/")[2])
    node = cast(Endpoint, SimpleNamespace(name="sender", pid=pid))
    with open_socket(node, socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((PORTS[0][0], 0))
        yield Bench(own_ovs, channel, wire, forth, back)
    channel.close()


def test_no_packet_changes_its_class_at_a_standstill(bench: Bench) -> None:
    def stilled(work: Callable[[], None]) -> bool:
        return still(bench.ovs.rundir, work) is Stillness.PROVEN

    proven: list[int] = []
    for n in range(TRIES):
        moved = bench.round(stilled, 2 + n % 2)
        proven += [] if moved is None else [moved]
        if len(proven) == ROUNDS:
            break
    assert proven == [0] * ROUNDS, "something looks at the flows all the time"


def test_without_it_packets_do(bench: Bench) -> None:
    """The control: else there would be nothing to care for."""

    def at_once(work: Callable[[], None]) -> bool:
        work()
        return True

    for n in range(TRIES):
        moved = bench.round(at_once, 2 + n % 2)
        print(f"moved to another class: {moved} of {2 * BURST} packets")
        if moved:
            return
    raise AssertionError("a standstill would make no difference")


def test_in_doubt_nothing_is_billed_as_what_it_was_not(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standstill that never holds: packets change their class, and no bill shows it."""

    def unproven(_rundir: Path, work: Callable[[], object], ready: Callable[[], object]) -> Stillness:
        ready()
        work()
        return Stillness.DOUBTFUL

    monkeypatch.setattr(metering, "still", unproven)
    snapshot = world.two_tenants()
    assert snapshot.switch is not None
    snapshot = replace(snapshot, switch=replace(snapshot.switch, started="life-1"))
    ports = tuple(sorted({said.port for said in map(cookies.parse, bench.cookies()) if said is not None}))
    now = [1_700_000_000.0]
    journal = Journal(tmp_path / "egress")
    counters = partial(bench.channel.counters, ACCOUNT_TABLE)
    nobody = cast(
        Any,
        SimpleNamespace(
            recall=lambda *_: None,
            keep=lambda: None,
            look=lambda *_: None,
            search=lambda *_: None,
            sight=frozenset,
            departures=dict,
            settle=lambda _: None,
            pending=False,
        ),
    )
    meter = Meter(journal, counters, lambda: int(now[0] * 1_000))
    made = Metering(meter, nobody, nobody, nobody, journal, bench.ovs.rundir, "boot", clock=lambda: now[0])
    for _ in range(2):
        made.read(snapshot)
    sent: dict[int, int] = {}
    for cls, patch in ((2, bench.forth), (3, bench.back)) * (ROUNDS // 2):
        now[0] += 2.0
        bench.send()
        sent[cls] = sent.get(cls, 0) + 2 * BURST
        made.shift(snapshot, ports, lambda patch=patch: bench.channel.send(patch))
        now[0] += 2.0
        made.sight(snapshot)
    bench.send()
    sent[2] += 2 * BURST
    now[0] += 2.0
    bench.counted()
    made.read(snapshot)
    records = [r for frame in journal.pending(1_000) for r in parse_step(frame.body).records]
    billed: dict[int, int] = {}
    for record in records:
        if isinstance(record, Interval):
            billed[record.series[1]] = billed.get(record.series[1], 0) + record.packets
    print(f"sent {sent}, billed {billed}, counted {bench.counted()}")
    assert all(billed[cls] <= sent[cls] for cls in sent), "some were billed twice, or as what they were not"
    assert billed[2] >= 2 * BURST, "what was sent after that is billed again"
    assert any(isinstance(record, Gap) and record.cause is Cause.PASS_MOVED for record in records)
    journal.close()
