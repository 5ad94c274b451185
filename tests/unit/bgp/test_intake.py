"""Intake: how many turns of ExaBGP's reactor UPDATEs take, what the relay gets of them, when nothing waits.

The real `Protocol` and `Connection` of ExaBGP on a socket pair; only who owns them is made here.
"""

from __future__ import annotations

import json
import socket
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest
from exabgp.bgp.message import Message
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI
from exabgp.reactor.api.processes import Processes
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.protocol import Protocol

from bgp.codec import update
from bgp.speaker import engine, intake
from tests.unit.bgp.world import mac_route

PEER = "192.0.2.200"
BODY = update.encode(mac_route("h1", 1))
KEEPALIVE = b"\xff" * 16 + b"\x00\x13\x04"


def framed(body: bytes) -> bytes:
    return b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + b"\x02" + body


class Lines(Processes):
    """ExaBGP's dispatcher, whose helper is a list."""

    def __init__(self):
        self.silence = False
        self.told = []

    def write(self, process, string, neighbor=None):
        self.told.append((process, string))
        return True


class Neighbor(SimpleNamespace):
    def __getitem__(self, name):
        return {"peer-address": PEER, "adj-rib-in": False}[name]


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The seams in place for one test, and as they were after it."""
    monkeypatch.setattr(engine.Update, "unpack_message", staticmethod(engine.read_update))
    for owner, name in ((Protocol, "read_message"), (Processes, "packets")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    log.init(getenv())
    intake.install()


@pytest.fixture
def session():
    """A protocol that reads what `far` sends."""
    near, far = socket.socketpair()
    near.setblocking(False)
    api = defaultdict(lambda: False, {"receive-packets": ["relay"], "receive-update": ["relay"]})
    link = Connection(AFI.ipv4, PEER, "192.0.2.1")
    link.io = near
    made = Protocol.__new__(Protocol)
    made.neighbor, made.connection, made.log_routes = Neighbor(api=api), link, False
    made.negotiated = None
    made.peer = SimpleNamespace(
        stats=Counter(), neighbor=made.neighbor, reactor=SimpleNamespace(processes=Lines())
    )
    yield made, far
    link.io = None
    near.close()
    far.close()


def turns(protocol, wanted):
    """Ids of the messages that `Peer._main` would be told until so many UPDATEs were read."""
    told = []
    while protocol.peer.stats["receive-update"] < wanted:
        told += [message.ID for message in protocol.read_message()]
    return told


def test_updates_that_wait_take_a_turn_of_the_reactor_for_many(session):
    protocol, far = session
    count = 3 * intake.AT_ONCE
    far.sendall(framed(BODY) * count)
    assert turns(protocol, count) == [Message.CODE.UPDATE] * 3
    assert len(protocol.peer.reactor.processes.told) == count


def test_the_relay_gets_each_as_it_came_and_in_order(session):
    protocol, far = session
    bodies = [update.encode(mac_route("h1", n)) for n in range(1, 6)]
    far.sendall(b"".join(map(framed, bodies)))
    turns(protocol, len(bodies))
    told = [(process, json.loads(line)) for process, line in protocol.peer.reactor.processes.told]
    assert told == [("relay", {"type": "update", "peer": PEER, "raw": body.hex()}) for body in bodies]


def test_nothing_to_read_gives_the_turn_back(session):
    """Or the reactor would stand still, and with it every other session."""
    protocol, far = session
    reading = protocol.read_message()
    assert next(reading).ID == Message.CODE.NOP
    assert next(reading).ID == Message.CODE.NOP
    far.sendall(framed(BODY)[:30])
    assert next(reading).ID == Message.CODE.NOP
    far.sendall(framed(BODY)[30:])
    assert [m.ID for m in reading if m.ID != Message.CODE.NOP] == [Message.CODE.UPDATE]


def test_a_part_of_an_update_behind_others_gives_the_turn_back(session):
    protocol, far = session
    far.sendall(framed(BODY) * 2 + framed(BODY)[:10])
    reading = protocol.read_message()
    assert next(reading).ID == Message.CODE.NOP
    assert len(protocol.peer.reactor.processes.told) == 2


def test_other_messages_are_told_and_end_the_turn(session):
    protocol, far = session
    far.sendall(framed(BODY) + KEEPALIVE + framed(BODY))
    assert [m.ID for m in protocol.read_message()] == [Message.CODE.KEEPALIVE]
    assert [m.ID for m in protocol.read_message()] == [Message.CODE.UPDATE]


def test_what_broke_the_framing_comes_after_what_was_right(session):
    protocol, far = session
    far.sendall(framed(BODY) + bytes(19))
    with pytest.raises(Exception, match="marker"):
        list(protocol.read_message())
    assert len(protocol.peer.reactor.processes.told) == 1
