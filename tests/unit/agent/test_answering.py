"""The thread that answers ports: what fails for one port, or can't be sent to it, makes nobody else wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controller.agent import answering as module
from controller.agent.answering import DEPTH, Answering
from controller.southbound.openflow.questions import MOST, Question
from model.change import Part
from model.guidance import Guidance
from model.ids import HostName, NetworkKey, Uid
from model.snapshot import Snapshot
from pipelines import cookies
from tests.fakes import askers, world
from topologies.deadline import until

ONE, TWO = "02:00:00:00:00:01", "02:00:00:00:10:01"
"""Of port 11, which is OpenFlow port 1, and of port 21 of the other tenant, which is 3."""


@dataclass
class Wire:
    """Hands up what stands in `waiting`, all at once, and refuses what no connection would take."""

    waiting: list[Question] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    turn: threading.Event = field(default_factory=threading.Event)

    def listen(self, wait: float) -> tuple[Question, ...]:
        if not self.waiting:
            self.turn.wait(0.01)
        heard, self.waiting = tuple(self.waiting), []
        return heard

    def answer(self, port: int, frame: bytes) -> None:
        if len(frame) > MOST:
            raise ValueError(f"a frame of {len(frame)} octets")
        self.sent.append((port, frame))

    def close(self) -> None:
        pass


def cluster() -> Snapshot:
    """Networks as wide as GPU clouds have them, with uids as the store gives them."""
    snapshot = world.two_tenants()
    for key, network in snapshot.networks.items():
        wide = replace(network, uid=Uid(f"11111111-2222-4333-8444-{key:012}"), mtu=9000)
        snapshot = world.with_part(snapshot, Part.NETWORK, key, wide)
    return snapshot


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(module, "Line", lambda _: made)
    monkeypatch.setattr(module, "TELL", 0.0)
    return made


@pytest.fixture
def snapshot() -> list[Snapshot]:
    """The last of it holds."""
    return [cluster()]


@pytest.fixture
def answering(wire: Wire, snapshot: list[Snapshot], tmp_path: Any) -> Iterator[Answering]:
    made = Answering(tmp_path, HostName("hv1"))
    made.start(lambda: snapshot[-1])
    yield made
    made.stop()


def question(frame: bytes, key: int, port: int) -> Question:
    return Question(cookies.asked(world.PortKey(key)), port, frame)


def discover(mac: str, key: int, port: int) -> Question:
    chaddr = bytes.fromhex(mac.replace(":", ""))
    return question(askers.dhcp4(("message-type", "discover"), mac=mac, chaddr=chaddr), key, port)


def test_a_frame_that_can_not_be_sent_costs_itself(
    answering: Answering, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are of one turn: what the second does must not cost the third its answer."""
    real = answering._responder.respond
    monkeypatch.setattr(
        answering._responder,
        "respond",
        lambda held, asked: bytes(MOST + 1) if asked.frame == b"huge" else real(held, asked),
    )
    wire.waiting = [discover(ONE, 11, 1), question(b"huge", 11, 1), discover(TWO, 21, 3)]
    until("both are answered", lambda: [port for port, _ in wire.sent] == [1, 3], 10)


def test_a_name_that_is_none_keeps_its_own_network_from_answers_and_no_other(
    answering: Answering, wire: Wire, snapshot: list[Snapshot]
) -> None:
    """A host of another version, or somebody by hand, wrote it into the store."""
    until("ports are known", lambda: answering._responder._advertised, 10)
    last = snapshot[-1]
    bent = replace(last.networks[NetworkKey(1)], guidance=Guidance(domain="no..name"))
    other = replace(last.networks[NetworkKey(2)], mtu=8000)
    for network in (bent, other):
        last = world.with_part(last, Part.NETWORK, network.key, network)
    snapshot.append(last)
    until("the other network's ports hear of their MTU", lambda: {p for p, _ in wire.sent} == {3, 4}, 10)
    wire.waiting = [discover(ONE, 11, 1), discover(TWO, 21, 3)]
    until("it is answered", lambda: ("answered", 1) in answering.asked().totals, 10)
    assert {port for port, _ in wire.sent} == {3, 4} and "failed" in dict(answering.asked().totals)


def test_a_port_that_asks_much_waits_for_itself(answering: Answering, wire: Wire) -> None:
    """All have come before the first is looked at. What is more than may wait is counted, not answered."""
    wire.waiting = [*(discover(ONE, 11, 1) for _ in range(DEPTH + 6)), discover(TWO, 21, 3)]
    until("all are answered", lambda: len(wire.sent) == DEPTH + 1, 10)
    assert [port for port, _ in wire.sent] == [1, 3, *[1] * (DEPTH - 1)]
    told = {"busy": 6, "answered": DEPTH + 1}
    until("what was not is told", lambda: told.items() <= dict(answering.asked().totals).items(), 10)
