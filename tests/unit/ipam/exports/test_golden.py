"""Each renderer on each kind of fabric, as a person has read it once.

The files in `golden/` are also what libvirt's schema, cloud-init and shells are given in
`tests/contract/test_exports.py`. To make them again after a wanted change: `python -m
tests.unit.ipam.exports.test_golden`, then read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ipam.exports.cloud_init import cloud_init
from ipam.exports.document import document
from ipam.exports.kit import Kit
from ipam.exports.libvirt import Element, Managed, libvirt
from ipam.exports.nccl import nccl
from model.fabric import RailIndex
from tests.fakes.kits import FABRICS, kit_of

GOLDEN = Path(__file__).parent / "golden"
RENDERERS: dict[str, Callable[[Kit], str]] = {
    "libvirt.xml": libvirt,
    "libvirt-hostdev.xml": lambda kit: libvirt(kit, Managed.YES, Element.HOSTDEV),
    "cloud-init.yaml": lambda kit: cloud_init(kit, 4200),
    "nccl.sh": nccl,
    "json": lambda kit: json.dumps(document(kit), indent=2) + "\n",
}


def made(fabric: str) -> Kit:
    """Two rails, two interfaces on each; the first GPU's node."""
    return kit_of(FABRICS[fabric], rails=(RailIndex(0), RailIndex(3)), each=2)


def texts() -> dict[str, str]:
    return {
        f"{fabric}.{name}": render(made(fabric)) for fabric in FABRICS for name, render in RENDERERS.items()
    }


def test_there_are_no_others() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(texts())


@pytest.mark.parametrize("name", sorted(texts()))
def test_as_it_was_read(name: str) -> None:
    assert texts()[name] == (GOLDEN / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for name, text in texts().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
