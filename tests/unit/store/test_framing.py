"""Framing of JSON: any cut gives the same objects, and the ovs library's parser contract holds."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.framing import Framer, Parser

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(['"', "\\", '\\"{', "}]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=4)


@given(OBJECTS, st.integers(1, 30), st.booleans(), st.sampled_from(["", " ", "\n\t"]))
def test_objects_come_out_whole_wherever_the_stream_is_cut(objects, size, ascii_only, between) -> None:
    stream = between.join(json.dumps(o, ensure_ascii=ascii_only) for o in objects).encode()
    framer, found = Framer(), []
    for start in range(0, len(stream), size):
        found += framer.feed(stream[start : start + size])
    assert found == objects


@given(OBJECTS, st.integers(1, 30))
def test_the_ovs_parser_contract(objects, size) -> None:
    stream, found = "".join(json.dumps(o) for o in objects), []
    parser = Parser()
    for start in range(0, len(stream), size):
        piece = stream[start : start + size]
        while piece:
            piece = piece[parser.feed(piece) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
    assert found == objects


@pytest.mark.parametrize("text", ["}", "[}", '{"a":}', "{]}"])
def test_what_is_no_json_is_said(text: str) -> None:
    with pytest.raises(ValueError):
        Framer().feed(text.encode())
    parser = Parser()
    parser.feed(text)
    assert parser.is_done()
    assert isinstance(parser.finish(), str)


def test_the_trailer_is_checked_when_asked() -> None:
    parser = Parser(check_trailer=True)
    parser.feed('{"a":1} x')
    assert isinstance(parser.finish(), str)
    parser = Parser(check_trailer=True)
    parser.feed('{"a":1} ')
    assert parser.finish() == {"a": 1}


def spent(length: int) -> float:
    stream = json.dumps({"a": 'x\\"{' * length, "b": [{"c": 1}] * length}).encode()
    framer, started = Framer(), time.process_time()
    for start in range(0, len(stream), 4096):
        framer.feed(stream[start : start + 4096])
    return time.process_time() - started


def test_long_strings_in_small_pieces_stay_linear() -> None:
    """Printed, not asserted: quadratic work would end in the suite's time limit."""
    spent(1000)
    print(f"10,000: {spent(10_000):.3f} s, 400,000: {spent(400_000):.3f} s")


def test_objects_become_what_they_are_folded_to_innermost_first() -> None:
    framer = Framer(
        lambda members: sorted(name for name, _ in members) if len(members) > 1 else dict(members)
    )
    text = b'{"a": {"y": 1, "x": 2}}{"b": {"c": {}}}'
    assert [one for at in range(len(text)) for one in framer.feed(text[at : at + 1])] == [
        {"a": ["x", "y"]},
        {"b": {"c": {}}},
    ]
