"""The seams of ExaBGP: all hold with the pinned version, and one that does not is told before anything
starts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bgp.codec import update as codec
from bgp.speaker import engine
from tests.unit.bgp.world import mac_route

HOP, FIELDS = "c0000201", "4001010040020040050400000064"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The seams in place for one test, and as they were after it."""
    monkeypatch.setattr(engine.Update, "unpack_message", engine.Update.unpack_message)
    monkeypatch.setattr(engine.peer, "Delay", engine.peer.Delay)
    for owner, seams in engine.intake.SEAMS:
        for name in seams:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    for name in ("functions", "callback"):
        there = getattr(engine.Command, name)
        copy = list(there) if name == "functions" else {kind: dict(some) for kind, some in there.items()}
        monkeypatch.setattr(engine.Command, name, copy)
    engine.install()


def test_the_pinned_exabgp_fits():
    assert engine.check() == []


def test_commands_are_known_to_exabgp():
    for name in ("announce evpn", "withdraw evpn", "mark evpn", "eor evpn", "refresh evpn"):
        assert name in engine.Command.functions
        assert name in engine.Command.callback["text"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda patch: patch.setattr(engine, "VERSION", "9.9.9"),
        lambda patch: patch.delattr(engine.Update, "split"),
        lambda patch: patch.delattr(engine.Delay, "increase"),
        lambda patch: patch.delattr(engine.OutgoingRIB, "updates"),
        lambda patch: patch.setattr(engine.OutgoingRIB, "add_to_rib", lambda *_: None),
        lambda patch: patch.setattr(engine.Update, "unpack_message", lambda *_: engine.Update([1], {})),
        lambda patch: patch.delattr(engine.intake.Processes, "_notify"),
        lambda patch: patch.setattr(engine._Fields, "pack", lambda *_: b""),
        lambda patch: patch.setattr(engine._Route, "index", lambda self: self._raw_bytes),
    ],
)
def test_a_seam_that_does_not_hold_is_told(monkeypatch, damage):
    damage(monkeypatch)
    assert engine.check()


def test_a_helper_whose_relay_has_died_says_so_in_a_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", str(Path(engine.__file__).with_name("pipe.py"))],
        env={"RINGFENCE_ENGINE_SOCKET": str(tmp_path / "gone.sock")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and "the relay does not listen" in line


def test_the_pause_between_attempts_is_bounded():
    pause = engine.peer.Delay()
    for _ in range(50):
        pause.increase()
    assert 0 < pause._next <= engine.LONGEST_DELAY


def raw(vni):
    return bytes.fromhex("0221" + "00" * 22 + "30" + "020000000001" + "00") + vni.to_bytes(3, "big")


class Session:
    families = (engine.FAMILY,)
    msg_size = 4096


def sent(rib):
    return [codec.split(m[19:]) for u in rib.updates(False) for m in u.messages(Session())]


def test_of_changes_that_wait_only_the_last_is_sent():
    engine.check()  # readies ExaBGP's logger
    rib = engine.OutgoingRIB(True, {engine.FAMILY})
    one, two = raw(1), raw(2)
    engine.file(rib, engine.announce([HOP, one.hex(), FIELDS]))
    engine.file(rib, engine.withdraw([one.hex()]))
    engine.file(rib, engine.announce([HOP, two.hex(), FIELDS]))
    fields = bytes.fromhex(FIELDS)
    assert sent(rib) == [codec.Parts(reach=(two,), next_hop=bytes.fromhex(HOP), rest=fields)]
    engine.file(rib, engine.announce([HOP, one.hex(), FIELDS]))
    engine.file(rib, engine.withdraw([one.hex()]))
    assert sent(rib) == [codec.Parts(unreach=(one,))]


def test_an_ipv6_next_hop_is_sent_as_it_is():
    engine.check()
    rib, hop = engine.OutgoingRIB(True, {engine.FAMILY}), "fd" + "00" * 15
    engine.file(rib, engine.announce([hop, raw(1).hex(), "-"]))
    assert sent(rib) == [codec.Parts(reach=(raw(1),), next_hop=bytes.fromhex(hop))]


@pytest.mark.parametrize(
    "words", [[], ["c0000201"], ["c000", "0201ff", "-"], [HOP, "0201ff", "-"], ["zz", "-", "-"]]
)
def test_nonsense_is_refused(words):
    with pytest.raises((ValueError, engine.Malformed)):
        engine.announce(words)


def test_received_content_is_not_read():
    body = codec.encode(mac_route("h2", 2))
    for damaged in (body, body[:4] + body[4:-1] + b"\xff", codec.end_of_rib()):
        assert engine.Update.unpack_message(damaged, 1, None).nlris == []
