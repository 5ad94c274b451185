"""A packet-in as Open vSwitch writes it, and as nobody should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow.questions import Question, parse
from controller.southbound.openflow.stream import Message

COOKIE = 0x52F1_9000_0000_000B
FRAME = bytes.fromhex("ffffffffffff0200000000010800") + b"x" * 40
REG1 = bytes.fromhex("0001 02 04 0000000b".replace(" ", ""))
PORT = bytes.fromhex("8000 00 04 00000007".replace(" ", ""))
TERMS = REG1 + PORT


def body(terms: bytes = TERMS, frame: bytes = FRAME) -> bytes:
    """OpenFlow 1.4.1 section 7.4.1; the match is padded to 8 octets, and 2 follow."""
    head = (0xFFFFFFFF).to_bytes(4, "big") + len(frame).to_bytes(2, "big") + bytes((1, 4))
    match = (1).to_bytes(2, "big") + (4 + len(terms)).to_bytes(2, "big") + terms
    return head + COOKIE.to_bytes(8, "big") + match + bytes(-len(match) % 8) + bytes(2) + frame


def test_a_packet_in_is_read() -> None:
    assert parse(Message(10, 0, body())) == Question(COOKIE, 7, FRAME)
    assert parse(Message(10, 0, body(PORT, b""))) == Question(COOKIE, 7, b"")


def test_nothing_else_is() -> None:
    assert parse(Message(12, 0, body())) is None
    assert parse(Message(10, 0, body(REG1))) is None, "without a port"


@given(st.binary(max_size=80), st.integers(0, 80))
def test_bytes_that_make_no_sense_are_none_or_a_question(noise: bytes, cut: int) -> None:
    for data in (noise, body()[:cut], body()[:16] + noise):
        assert isinstance(parse(Message(10, 0, data)), Question | None)
