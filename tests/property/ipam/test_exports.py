"""No name gets out of its comment: whatever tenants, nodes and rails are called, the files say the same."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.exports.cloud_init import cloud_init
from ipam.exports.kit import Kit
from ipam.exports.libvirt import libvirt
from ipam.exports.nccl import nccl
from model.fabric import RailIndex
from tests.fakes.kits import FABRICS, kit_of

KITS = [kit_of(FABRICS[name], rails=(RailIndex(0), RailIndex(3))) for name in FABRICS]
EVIL = (
    "-->",
    "--",
    "]]>",
    "&lt;",
    "\n",
    "\r",
    "\u2028",
    "\x85",
    "$(id)",
    "`id`",
    "'",
    '"',
    "\\",
    ": ",
    "#",
    "\x00",
)
NAMES = st.lists(st.one_of(st.sampled_from(EVIL), st.text(max_size=6)), max_size=5).map("".join)


def called(kit: Kit, names: list[str]) -> Kit:
    tenant, gang, node, host, fabric, rail, pf = names
    cards = tuple(replace(card, rail_name=rail, pf=pf) for card in kit.cards)
    return replace(kit, tenant=tenant, gang=gang, node=node, host=host, fabric=fabric, cards=cards)


def commands(text: str) -> list[str]:
    return [line for line in text.split("\n") if not line.lstrip().startswith("#")]


@given(st.sampled_from(KITS), st.lists(NAMES, min_size=7, max_size=7))
@settings(deadline=None)
def test_names_stay_in_comments(kit: Kit, names: list[str]) -> None:
    evil = called(kit, names)
    for render in (libvirt, cloud_init, nccl):
        assert all(c == "\n" or " " <= c <= "~" for c in render(evil))
        assert render(evil).count("\n") == render(kit).count("\n")
    plain, other = (ElementTree.canonicalize(libvirt(one), with_comments=False) for one in (kit, evil))
    assert plain == other
    assert yaml.safe_load(cloud_init(kit)) == yaml.safe_load(cloud_init(evil))
    assert commands(cloud_init(kit)) == commands(cloud_init(evil))
    assert commands(nccl(kit)) == commands(nccl(evil))


def test_the_property_would_see_a_name_that_gets_out() -> None:
    kit = KITS[0]
    assert commands(nccl(kit)) != commands(nccl(kit).replace("acme", "acme\nid"))
