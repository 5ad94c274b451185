"""Prices file: a price list from a file, as YAML or JSON, with the lines of its mistakes.

Place: under `ringfence egress export`. The same reader as manifests: scalars keep their text, so that a price
is never a binary fraction. Must not know fields: `accounting.prices` does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from accounting.prices import PriceList, Tree, parse_prices
from controller.cli.client import Refused
from controller.manifest.text import Document, read
from controller.manifest.tree import Listing, Node, Table, lines
from model.errors import Fault, Invalid

LARGEST: Final = 4 << 20
"""Bytes of a file."""


def read_prices(path: str) -> tuple[PriceList, str]:
    """The list and the SHA-256 of its file. Refused with all mistakes."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(Fault("price list", "price-file", f"{error}", "name a YAML file", "", path)) from None
    if len(raw) > LARGEST:
        message = f"larger than {LARGEST >> 20} MiB"
        raise _refused(Fault("price list", "price-file", message, "split it", "", path))
    parts = list(read(path, text))
    faults = [part for part in parts if isinstance(part, Fault)]
    documents = [part for part in parts if isinstance(part, Document)]
    if faults:
        raise _refused(*faults)
    if len(documents) != 1:
        message = f"{len(documents)} documents"
        raise _refused(Fault("price list", "price-file", message, "a file holds one price list", "", path))
    root = documents[0].root
    twice: list[Fault] = []
    tree = _plain(root, "", twice)
    try:
        if twice:
            raise Invalid(*twice)
        return parse_prices(tree), hashlib.sha256(raw).hexdigest()
    except Invalid as error:
        known = lines(root)
        raise _refused(*(replace(f, source=path, line=_line(known, f.path)) for f in error.faults)) from None


def _plain(node: Node, path: str, twice: list[Fault]) -> Tree:
    if isinstance(node, Listing):
        return [_plain(item, f"{path}[{place}]", twice) for place, item in enumerate(node.items)]
    if not isinstance(node, Table):
        return node.text
    found: dict[str, Tree] = {}
    for entry in node.entries:
        below = f"{path}.{entry.key}" if path else entry.key
        if entry.key in found:
            twice.append(
                Fault("price list", "price-field", f"{entry.key!a} twice", "keep one of them", below)
            )
        found[entry.key] = _plain(entry.value, below, twice)
    return found


def _line(known: dict[str, int], path: str) -> int:
    """Of the field, or of what it stands in."""
    while path and path not in known:
        path = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", path)
    return known.get(path, 0)


def _refused(*faults: Fault) -> Refused:
    return Refused(422, [asdict(fault) for fault in faults])
