"""Destinations: rows of egress classes to model values, and back.

Place: beside `rows`, which has the columns' forms. Pure. A row that does not fit raises ValueError.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, Final

from controller.store.rows import ABSENT, Columns, Row, label_map, optional, text_set, texts
from model.addresses import Prefix
from model.ids import ClassId, Uid
from model.intent import EgressClass, Relation
from model.order import prefix_rank
from model.wanted import Labels

_NO_TIME: Final = ""


def egress_class(uid: Uid, row: Row) -> EgressClass:
    """Table Egress_Class; prefixes longest first, relations by name."""
    return EgressClass(
        uid,
        str(row["name"]),
        ClassId(int(row["id"])),
        _longest_first(row["prefixes"]),
        _relations(row["relations"]),
        int(optional(row["since"]) or 0),
        _longest_first(row["former"]),
        _relations(row["former_relations"]),
    )


def _longest_first(value: Any) -> tuple[Prefix, ...]:
    return tuple(sorted(map(ip_network, texts(value)), key=lambda p: (-p.prefixlen, *prefix_rank(p))))


def _relations(value: Any) -> tuple[Relation, ...]:
    return tuple(Relation(text) for text in sorted(texts(value)))


def effective(row: Row) -> datetime | None:
    """When a class takes effect (RFC 3339, UTC); None = at once."""
    text = str(row["effective"])
    return None if text == _NO_TIME else datetime.fromisoformat(text)


def class_columns(value: EgressClass, version: int, since: datetime | None, tags: Labels) -> Columns:
    """Inverse of egress_class and effective."""
    return {
        "name": value.name,
        "id": value.id,
        "prefixes": text_set(str(p) for p in value.prefixes),
        "version": version,
        "effective": _NO_TIME if since is None else since.astimezone(UTC).isoformat(),
        "relations": text_set(r.value for r in value.relations),
        "since": value.since or ABSENT,
        "former": text_set(str(p) for p in value.former),
        "former_relations": text_set(r.value for r in value.former_relations),
        "labels": label_map(tags),
    }
