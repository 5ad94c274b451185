"""Seeds in the store: a row for each port that has one, which the port's hosts alone read.

Place: between `ipam` and `operations`; read by `assembly`, and by `view` for hosts. Pure. A port's own row
has nothing of it: all hosts of a tenant read those. Must not trust a text: what does not fit is a ValueError.
"""

from __future__ import annotations

import json
from typing import Final

from controller.store.identity import row_uid
from controller.store.rows import Columns, Row, text_set
from ipam.contents import PortRecord
from model.foreign import mapping
from model.ids import Uid
from model.seed import MOST_KEYS, NOTHING, Seed, fits, is_key

TABLE: Final = "Seed"


def seed_uid(port: Uid) -> Uid:
    """Row of a port's seed."""
    return row_uid(TABLE, port)


def columns(record: PortRecord) -> Columns | None:
    """None: it has none."""
    if record.seed == NOTHING:
        return None
    hosts = text_set(record.value.hosts)
    return {"port": ["uuid", record.value.uid], "hosts": hosts, "text": format_seed(record.seed)}


def seed(row: Row) -> Seed:
    """Table Seed."""
    return parse_seed(str(row["text"]))


def format_seed(value: Seed) -> str:
    """What there is of it, keys sorted."""
    plain = {"first": value.first, "keys": list(value.keys), "data": value.data}
    written = {name: said for name, said in plain.items() if said}
    return json.dumps(written, sort_keys=True, separators=(",", ":"))


def parse_seed(text: str) -> Seed:
    """Inverse of format_seed. Unknown keys are those of a newer version, and passed over."""
    plain = mapping(json.loads(text))
    first, keys, data = plain.get("first", ""), plain.get("keys", []), plain.get("data", "")
    if not isinstance(first, str) or not isinstance(data, str) or not isinstance(keys, list):
        raise ValueError(f"{text[:200]!r} is no seed")
    if not fits(data) or len(keys) > MOST_KEYS or not all(isinstance(k, str) and is_key(k) for k in keys):
        raise ValueError(f"seed {text[:200]!r} has user data or a key that is none")
    return Seed(first, tuple(keys), data)
