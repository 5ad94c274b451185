"""Identity: row ids that follow from what a row is about.

Place: for tables whose rows no one else names: with an id that can be computed, a row is found, guarded and
deleted without the server looking through the table (ovsdb-server looks up by `_uuid` only), and a second one
is refused.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from model.ids import Uid

_SPACE: Final = UUID("5c1f0b9e-3a77-4a51-9d0e-52f1a7e3c6d4")
"""Name space (RFC 9562 section 6.6) of our computed row ids. Never change it: rows in stores bear its ids."""


def row_uid(table: str, *parts: str) -> Uid:
    """The `_uuid` of the row of `table` about `parts`."""
    return Uid(str(uuid5(_SPACE, "\x1f".join((table, *parts)))))
