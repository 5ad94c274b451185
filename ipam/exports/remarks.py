"""Remarks: names of people and things in comments of files, so that they stay comments.

Place: under the renderers. Names are checked when they come in; here they are checked again, because a shell,
an XML parser or a YAML parser reads what is written.
"""

from __future__ import annotations

import string
from typing import Final

from ipam.exports.kit import Card, Kit
from model.hardware import format_pci

_HARMLESS: Final = frozenset(string.ascii_letters + string.digits + "._:/")
_LONGEST: Final = 128


def harmless(text: str) -> str:
    """Foreign text as one word: letters, digits, `._:/`, and dashes that are not side by side (XML 1.0,
    section 2.5: `--` ends a comment's rights); all else is `?`."""
    kept = "".join(c if c in _HARMLESS else "-" if c == "-" else "?" for c in text[:_LONGEST])
    while "--" in kept:
        kept = kept.replace("--", "-?")
    return kept.removesuffix("-") + ("?" if kept.endswith("-") else "")


def heading(kit: Kit) -> str:
    """Whose it is, in one line."""
    return (
        f"Gang {harmless(kit.tenant)}/{harmless(kit.gang)}, generation {kit.generation}, {kit.state.value};"
        f" node {harmless(kit.node)}, host {harmless(kit.host)}, fabric {harmless(kit.fabric)}"
        f" ({kit.kind.value})"
    )


def place(card: Card) -> str:
    """Where it is, in one line."""
    words = [f"{card.name}: rail {harmless(card.rail_name)}, PF {harmless(card.pf)}, VF {card.vf}"]
    if card.pci is not None:
        words.append(f"{format_pci(card.pci)} on the host")
    if card.gpu is not None and card.gpu_pci is not None:
        words.append(f"beside GPU {card.gpu} ({format_pci(card.gpu_pci)})")
    if card.numa is not None:
        words.append(f"NUMA node {card.numa}")
    return ", ".join(words)
