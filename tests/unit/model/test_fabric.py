"""Fabrics: GUIDs and partition keys as text and as numbers, spans of 64 bits."""

import pytest

from model.fabric import (
    PKEYS,
    Fabric,
    FabricKind,
    Rail,
    RailIndex,
    format_guid,
    format_pkey,
    is_local_guid,
    meet,
    parse_guid,
    parse_pkey,
    size,
)


@pytest.mark.parametrize(
    "text",
    [
        "0x0200520000000001",
        "0x200520000000001",
        "0200:5200:0000:0001",
        "02:00:52:00:00:00:00:01",
        "0200520000000001",
        "0X0200520000000001",
    ],
)
def test_a_guid_is_read_in_every_form_that_tools_write(text):
    assert parse_guid(text) == 0x0200520000000001
    assert format_guid(parse_guid(text)) == "0200:5200:0000:0001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0x0",
        "0x",
        "0000:0000:0000:0000",
        "ffff:ffff:ffff:ffff",
        "0200:5200:0000",
        "0x10000000000000000",
        "0200-5200-0000-0001",
        "0200:5200:0000:000g",
        "0200:5200:0000:0001\n",
        "٠200520000000001",
    ],
)
def test_what_is_no_guid_is_refused(text):
    with pytest.raises(ValueError, match="GUID"):
        parse_guid(text)


def test_a_local_guid_is_no_vendors_and_no_groups():
    assert is_local_guid(0x0200520000000001)
    assert not is_local_guid(0x0002C90300000001), "Mellanox's own"
    assert not is_local_guid(0x0300520000000001), "a group"
    assert not is_local_guid((1 << 64) - 1)
    assert not is_local_guid(0)
    assert not is_local_guid(1 << 65 | 0x02 << 56)


def test_a_partition_key_keeps_off_the_default_partition():
    assert parse_pkey("0x0001") == 1
    assert parse_pkey("0x7FFE") == 0x7FFE
    assert parse_pkey("16") == 16
    assert format_pkey(16) == "0x0010"
    for text in ("0", "0x0", "0x7fff", "0x8001", "0xffff", "32767", "-1", "", "0x", "1 ", "0x00001"):
        with pytest.raises(ValueError, match="partition key"):
            parse_pkey(text)
    assert parse_pkey("32766") == PKEYS[-1]


def test_spans_of_64_bits_have_a_size_and_meet():
    whole = range(1, (1 << 64) - 1)
    assert size(whole) == (1 << 64) - 2
    assert size(range(0)) == 0
    assert meet(range(1, 5), range(4, 9))
    assert not meet(range(1, 5), range(5, 9))
    assert not meet(range(5, 9), range(1, 5))
    assert meet(whole, range(7, 8))
    assert not meet(range(0), whole)


def test_a_rail_is_found_by_its_index():
    rails = tuple(Rail(RailIndex(i), f"rail{i}") for i in range(8))
    fabric = Fabric("east", FabricKind.ROCE, rails)
    assert fabric.rail(7) == rails[7]
    assert fabric.rail(8) is None
    assert fabric.rail(-1) is None
