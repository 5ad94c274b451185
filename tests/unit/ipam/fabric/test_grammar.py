"""The partitions file: golden text, and everything that OpenSM would guess at is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipam.fabric.grammar import LONGEST, PartitionsError, parse, render
from ipam.fabric.partitions import Partition, Partitions
from model.fabric import Guid, PKey
from tests.fakes.opensm import read

WANTED = Partitions(
    (Guid(0x0002C90300000001),),
    (Partition(PKey(0x10), (Guid(0x0200000000000001),), (Guid(0x0200000000000003),)),),
)
TEXT = """\
# Written by Ringfence from the gangs in its store, and written again when it is changed by hand.
# Index 0 of a gang's port is its tenant's key; every other port is a limited member of the default.
Default=0x7fff:
ALL=limited,
SELF=full,
0x0002c90300000001=full;
tenant0010=0x0010,indx0,ipoib:
0x0200000000000001=full,
0x0200000000000003=limited;
"""
DEFAULT = "Default=0x7fff:ALL=limited,SELF=full;\n"
PORT = "0x0200000000000001"


def test_the_text() -> None:
    assert render(WANTED) == TEXT
    assert parse(TEXT) == WANTED


def test_the_file_for_a_first_start_keeps_everybody_apart() -> None:
    path = Path(__file__).parents[4] / "packaging" / "opensm" / "partitions.conf"
    assert parse(path.read_text("ascii")) == Partitions()


def test_blanks_comments_and_lines_are_free() -> None:
    text = f"{DEFAULT} g = 0x0010 , ipoib,indx0 : {PORT} =\tfull ; # end;\n"
    assert parse(text) == Partitions((), (Partition(PKey(0x10), (Guid(0x0200000000000001),)),))


REFUSED = {
    "empty": "",
    "no default": f"g=0x0010,indx0,ipoib:{PORT}=full;\n",
    "everybody full": "Default=0x7fff:ALL=full,SELF=full;\n",
    "everybody last": "Default=0x7fff:SELF=full,ALL=limited;\n",
    "manager limited": "Default=0x7fff:ALL=limited,SELF=limited;\n",
    "full only by default": "Default=0x7fff,defmember=full:ALL,SELF;\n",
    "a tenant's port full in the default": f"Default=0x7fff:ALL=limited,SELF=full,{PORT}=limited;\n",
    "default twice": DEFAULT + DEFAULT,
    "default with flags": "Default=0x7fff,ipoib:ALL=limited,SELF=full;\n",
    "key with membership bit": DEFAULT + f"g=0x8010,indx0,ipoib:{PORT}=full;\n",
    "default by its other key": DEFAULT + f"g=0xffff,indx0,ipoib:{PORT}=full;\n",
    "key zero": DEFAULT + f"g=0x0000,indx0,ipoib:{PORT}=full;\n",
    "no key": DEFAULT + f"g,indx0,ipoib:{PORT}=full;\n",
    "key twice": DEFAULT
    + f"g=0x0010,indx0,ipoib:{PORT}=full;\nh=0x0010,indx0,ipoib:0x0200000000000003=full;\n",
    "no index 0": DEFAULT + f"g=0x0010,ipoib:{PORT}=full;\n",
    "flag twice": DEFAULT + f"g=0x0010,indx0,indx0,ipoib:{PORT}=full;\n",
    "everybody in a tenant's": DEFAULT + "g=0x0010,indx0,ipoib:ALL=full;\n",
    "manager in a tenant's": DEFAULT + "g=0x0010,indx0,ipoib:SELF=full;\n",
    "everybody, cut short": DEFAULT + "g=0x0010,indx0,ipoib:AL=full;\n",
    "membership cut short": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}=f;\n",
    "membership misspelt": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}=ful1;\n",
    "membership missing": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT};\n",
    "both": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}=both;\n",
    "port twice": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}=full,{PORT}=limited;\n",
    "port zero": DEFAULT + "g=0x0010,indx0,ipoib:0x0000000000000000=full;\n",
    "port of all ones": DEFAULT + "g=0x0010,indx0,ipoib:0xffffffffffffffff=full;\n",
    "port too long": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}0=full;\n",
    "no member": DEFAULT + "g=0x0010,indx0,ipoib:;\n",
    "members without comma": DEFAULT + f"g=0x0010,indx0,ipoib:\n{PORT}=full\n0x0200000000000003=full;\n",
    "multicast group": DEFAULT + f"g=0x0010,indx0,ipoib:mgid=ff12:401b::0707,sl=1\n{PORT}=full;\n",
    "no semicolon": DEFAULT + f"g=0x0010,indx0,ipoib:{PORT}=full\n",
    "no end of line": DEFAULT.rstrip("\n"),
    "colon on the next line": DEFAULT + f"g=0x0010,indx0,ipoib\n:{PORT}=full;\n",
    "line too long": DEFAULT + "#" + "x" * LONGEST + "\n",
    "other letters": DEFAULT + "# \N{LATIN SMALL LETTER E WITH ACUTE}\n",
    "zero byte": DEFAULT + "\0\n",
    "other ends of lines": DEFAULT.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(PartitionsError, match=r"partitions\.conf"):
        parse(text)


def test_the_line_is_told() -> None:
    with pytest.raises(PartitionsError, match="line 9"):
        parse(TEXT.replace("tenant0010", "# \ntenant 0010").replace("# \n", "# \n\n"))


def test_what_opensm_would_make_of_some_of_these() -> None:
    """Why they are refused: it says nothing, and takes them for something else."""
    assert read(REFUSED["everybody, cut short"]).members[0x10] == {"ALL": True}
    assert read(REFUSED["port twice"]).members[0x10] == {0x0200000000000001: False}
    assert read(REFUSED["default by its other key"]).members[0x7FFF][0x0200000000000001] is True
    assert read("#" + "x" * 4093 + f"g=0x10:{PORT}=full;\n").members == {0x10: {0x0200000000000001: True}}
