"""What hosts and fabrics say of gangs: there and back, and what does not fit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.bearing import (
    MOST_TEXT,
    FabricWord,
    HostPart,
    HostWord,
    Reached,
    Wait,
    format_fabric,
    format_host,
    parse_fabric,
    parse_host,
)
from model.errors import Fault
from model.fabric import Guid
from model.gang import GangState

WHY = Fault("VF 0000:18:00.0/3", "link-refused", "the kernel said no", "See its log.")
GUIDS = (Guid(0x0200_0000_0000_0001), Guid(0x0200_0000_0000_0002))


def part(generation: int, *faults: Fault) -> HostPart:
    return HostPart(generation, GangState.PROGRAMMED, GangState.VERIFIED, Reached.SET, faults)


def test_a_host_s_word_comes_back() -> None:
    word = HostWord((part(4), part(9, WHY)))
    assert parse_host(format_host(word)) == word
    assert word.part(9) == part(9, WHY)
    assert word.part(5) is None


def test_a_fabric_s_word_comes_back() -> None:
    tables = {GUIDS[0]: (0x8010, 0x7FFF, 0), GUIDS[1]: None}
    word = FabricWord("east", "opensm", "sm-1:42", (WHY,), (Wait(9, "ports", ("hv1",), GUIDS),), tables)
    assert parse_fabric(format_fabric(word)) == word


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"parts": 1}',
        '{"parts": [7]}',
        '{"parts": [{"generation": 1, "state": "lost", "begun": "active", "reached": "up"}]}',
        '{"parts": [{"generation": -1, "state": "active", "begun": "active", "reached": "up"}]}',
        '{"parts": [{"generation": true, "state": "active", "begun": "active", "reached": "up"}]}',
        '{"parts": [{"state": "active", "begun": "active", "reached": "up"}]}',
        "[" * 100_000,
    ],
)
def test_a_host_that_says_nonsense_is_not_believed(text: str) -> None:
    with pytest.raises(ValueError):
        parse_host(text)


@pytest.mark.parametrize(
    "tables", [[], {"0": "10"}, {"0200:0000:0000:0001": 7}, {"0200:0000:0000:0001": "10000"}]
)
def test_a_fabric_that_says_nonsense_is_not_believed(tables: object) -> None:
    with pytest.raises(ValueError):
        parse_fabric(json.dumps({"fabric": "east", "driver": "none", "owner": "", "tables": tables}))


def test_what_is_too_long_is_cut() -> None:
    long = Fault("x" * 10_000, "r", "m", "y")
    found = parse_host(format_host(HostWord((part(1, *[long] * 100),))))
    assert len(found.parts[0].faults) < 100
    assert len(found.parts[0].faults[0].object) == MOST_TEXT


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_host, parse_fabric):
        try:
            parse(text)
        except ValueError:
            continue
