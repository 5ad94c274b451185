"""The client against a scripted speaker: it repeats itself after each reconnection, and believes no
nonsense.
"""

from __future__ import annotations

import json
import queue
import random
import socket

import pytest

from bgp import wire
from bgp.client import (
    Acknowledged,
    Attached,
    Client,
    Detached,
    PeerDown,
    PeerSilent,
    PeerUp,
    Received,
    Synced,
)
from bgp.codec import nlri, update
from bgp.codec.update import Update
from bgp.interest import Interest
from tests.unit.bgp.world import THERE, flood_route, mac_route

SECONDS = 30
ROUTE, OTHER = mac_route("h1", THERE), flood_route("h1")


class Speaker:
    """One end of the socket, played by the test."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen()
        self.server.settimeout(SECONDS)
        self.link = None
        self.lines = None

    def accept(self):
        self.link, _ = self.server.accept()
        self.link.settimeout(SECONDS)
        self.lines = self.link.makefile("rb")

    def hear(self):
        return json.loads(self.lines.readline())

    def hear_until(self, op):
        heard = []
        while not heard or heard[-1]["op"] != op:
            heard.append(self.hear())
        return heard

    def say(self, **fields):
        self.link.sendall(wire.pack(**fields))

    def hang_up(self):
        self.lines.close()
        self.link.close()


@pytest.fixture
def pair(tmp_path):
    speaker, events = Speaker(tmp_path / "s"), queue.Queue()
    client = Client(f"unix:{tmp_path / 's'}", events.put, random.Random(1))
    client.start()
    speaker.accept()
    assert events.get(timeout=SECONDS) == Attached()
    yield speaker, client, events
    client.stop()
    if speaker.link is not None:
        speaker.hang_up()
    speaker.server.close()


def raws(message):
    return [one if isinstance(one, str) else one[0] for one in message["routes"]]


def raw(route):
    return nlri.encode(route.nlri).hex()


def test_it_begins_says_routes_then_that_they_are_all(pair):
    speaker, client, _ = pair
    client.announce([ROUTE, OTHER])
    client.eor()
    heard = speaker.hear_until("eor")
    assert heard[0] == {"op": "begin", "want": None}
    assert [one for message in heard[1:-1] for one in raws(message)] == [raw(ROUTE), raw(OTHER)]


def test_every_change_has_a_ticket_that_is_told_even_if_nothing_changed(pair):
    speaker, client, events = pair
    assert speaker.hear() == {"op": "begin", "want": None}
    first = client.announce([ROUTE])
    assert speaker.hear()["id"] == first
    second = client.announce([ROUTE])
    assert speaker.hear() == {"op": "announce", "id": second, "routes": []}
    speaker.say(ev="ack", id=second)
    assert events.get(timeout=SECONDS) == Acknowledged(second)


def test_a_withdrawal_of_what_was_never_said_is_not_sent(pair):
    speaker, client, _ = pair
    speaker.hear()
    client.withdraw([ROUTE])
    assert speaker.hear() == {"op": "announce", "id": 1, "routes": []}
    client.announce([ROUTE])
    assert raws(speaker.hear()) == [raw(ROUTE)]
    client.withdraw([ROUTE])
    assert speaker.hear() == {"op": "withdraw", "id": 0, "routes": [raw(ROUTE)]}


def test_after_a_reconnection_it_says_everything_again(pair):
    speaker, client, events = pair
    client.announce([ROUTE, OTHER])
    client.withdraw([OTHER])
    client.eor()
    speaker.hear_until("eor")
    speaker.say(ev="hello", version=wire.VERSION, peers={"10.0.0.9": "up", "10.0.0.8": "down"})
    assert events.get(timeout=SECONDS) == PeerUp("10.0.0.9")
    speaker.hang_up()
    assert isinstance(events.get(timeout=SECONDS), PeerDown)
    assert isinstance(events.get(timeout=SECONDS), Detached)
    speaker.accept()
    heard = speaker.hear_until("eor")
    assert heard[0] == {"op": "begin", "want": None}
    assert [one for message in heard[1:-1] for one in raws(message)] == [raw(ROUTE)]


def test_it_says_what_concerns_it_at_once_and_after_a_reconnection(pair):
    speaker, client, events = pair
    speaker.hear()
    some = Interest(frozenset((bytes(8),)), frozenset((bytes(3),)))
    client.learn(some, ())
    wanted = {"targets": ["00" * 8], "vnis": ["00" * 3]}
    assert speaker.hear() == {"op": "want", "want": wanted}
    client.learn(some, (bytes(8),))
    assert speaker.hear() == {"op": "replay", "targets": ["00" * 8]}
    speaker.hang_up()
    assert isinstance(events.get(timeout=SECONDS), Detached)
    speaker.accept()
    assert speaker.hear() == {"op": "begin", "want": wanted}
    client.refresh()
    assert speaker.hear() == {"op": "refresh"}


def test_an_agent_that_has_not_said_eor_does_not_after_a_reconnection(pair):
    speaker, client, events = pair
    client.announce([ROUTE])
    speaker.hear_until("announce")
    speaker.hang_up()
    assert isinstance(events.get(timeout=SECONDS), Detached)
    speaker.accept()
    speaker.hear_until("announce")
    client.refresh()
    assert speaker.hear() == {"op": "refresh"}


def test_events_arrive_as_values_in_order(pair):
    speaker, _, events = pair
    speaker.say(ev="peer", peer="10.0.0.9", state="up", reason="")
    speaker.say(ev="peer", peer="10.0.0.9", state="up", reason="")
    speaker.say(ev="update", peer="10.0.0.9", raw=update.encode(ROUTE).hex())
    speaker.say(ev="update", peer="10.0.0.9", raw="0000")
    speaker.say(ev="synced")
    speaker.say(ev="from a later version")
    speaker.say(ev="peer", peer="10.0.0.9", state="down", reason="hold timer")
    speaker.say(ev="peer", peer="10.0.0.9", state="down", reason="no answer")
    got = [events.get(timeout=SECONDS) for _ in range(6)]
    key = nlri.key(nlri.encode(ROUTE.nlri))
    assert got[:2] == [PeerUp("10.0.0.9"), Received("10.0.0.9", update.encode(ROUTE))]
    assert got[1].read() == Update(announced=((key, ROUTE),))
    assert got[2].read().faults
    assert got[3:] == [
        Synced(),
        PeerDown("10.0.0.9", "hold timer"),
        PeerSilent("10.0.0.9", "no answer"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[1]\n",
        b'{"ev":"hello","version":99,"peers":{}}\n',
        b'{"ev":"hello","version":1,"peers":3}\n',
        b'{"ev":"update","peer":"x","raw":"zz"}\n',
        b'{"ev":"ack","id":"x"}\n',
        b'{"ev":"ack","id":1e999}\n',
    ],
)
def test_nonsense_ends_the_connection_not_the_client(pair, line):
    speaker, client, events = pair
    speaker.link.sendall(line)
    assert isinstance(events.get(timeout=SECONDS), Detached)
    speaker.accept()
    assert events.get(timeout=SECONDS) == Attached()
    client.announce([ROUTE])
    assert raws(speaker.hear_until("announce")[-1]) == [raw(ROUTE)]


def test_many_routes_go_in_batches_with_the_ticket_on_the_last(pair):
    speaker, client, _ = pair
    speaker.hear()
    routes = [mac_route("h1", number) for number in range(2 * wire.BATCH + 1)]
    ticket = client.announce(routes)
    heard = [speaker.hear() for _ in range(3)]
    assert [len(one["routes"]) for one in heard] == [wire.BATCH, wire.BATCH, 1]
    assert [one["id"] for one in heard] == [0, 0, ticket]


def test_an_update_on_which_the_decoder_fails_costs_itself_only(pair, monkeypatch):
    def fail(body):
        raise LookupError(f"{len(body)} octets")

    monkeypatch.setattr(update, "decode", fail)
    speaker, _, events = pair
    speaker.say(ev="update", peer="192.0.2.9", raw="00")
    heard = events.get(timeout=SECONDS)
    assert isinstance(heard, Received)
    assert heard.read().faults == ("skipped an UPDATE: LookupError: 1 octets",)
