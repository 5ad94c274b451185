"""Readers of selectors: which ports, networks or tenants, by their labels; and of peers: these, or prefixes.

Place: under `controller.manifest.policy_readers`. Pure. Must not know which labels anybody bears.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from controller.manifest.branch import Branch
from controller.manifest.readers import read_label, read_label_key, read_prefix
from model.addresses import Prefix
from model.labels import EVERYTHING, NAME, Operator, Requirement, Selector, conjunction, satisfiable
from model.policy import Block, Peer, Selection

_MOST_KEYS: Final = 64
_MOST_VALUES: Final = 4096
_LISTING: Final = (Operator.IN, Operator.NOT_IN)
_BORNE: Final = Requirement(NAME, Operator.EXISTS)
"""What everything that is selected has."""


class Author(Enum):
    """Whose words are read. Only the operator's may concern tenants of their choice."""

    TENANT = "tenant"
    OPERATOR = "operator"


def read_selection(branch: Branch, author: Author) -> Selection | None:
    """Ports by selectors of their own labels, their network's and their tenant's."""
    fields = branch.fields("ports", "networks", "tenants")
    return None if fields is None else _selection(fields, author)


def read_peer(branch: Branch, author: Author) -> Peer | None:
    """A selection, or a prefix with what is excepted of it."""
    fields = branch.fields("ports", "networks", "tenants", "cidr", "except")
    if fields is None:
        return None
    if not fields:
        branch.fault("empty-peer", "it names nobody", "Write ports: {} for all ports, or cidr: 0.0.0.0/0.")
        return None
    block = {name: fields.pop(name) for name in ("cidr", "except") if name in fields}
    if not block:
        return _selection(fields, author)
    if fields:
        branch.fault("mixed-peer", f"{next(iter(block))} stands beside a selector", "Write two peers.")
    if "cidr" not in block:
        branch.lacks("cidr", "10.0.0.0/8")
        return None
    prefix = block["cidr"].one(read_prefix)
    return None if prefix is None else Block(prefix, _excepted(block.get("except"), prefix))


def read_selector(branch: Branch) -> Selector:
    """matchLabels and matchExpressions, as in Kubernetes; all of it must hold. {} takes everything."""
    fields = branch.fields("matchLabels", "matchExpressions")
    if not fields:
        return EVERYTHING
    found = _labels(fields["matchLabels"]) if "matchLabels" in fields else []
    if "matchExpressions" in fields:
        example = "[{key: tier, operator: In, values: [web]}]"
        for item in fields["matchExpressions"].items(_MOST_KEYS, example):
            one = _requirement(item)
            if one is not None:
                found.append(one)
    if not satisfiable(conjunction((*found, _BORNE))):
        branch.fault("selector-never", "it contradicts itself: it takes nothing", "Take one of the two out.")
    return conjunction(found)


def _selection(fields: dict[str, Branch], author: Author) -> Selection:
    if author is Author.TENANT and "tenants" in fields:
        fields.pop("tenants").fault(
            "operator-only", "only the operator selects tenants", "Take it out, or name a cidr of the peer's."
        )
    parts = {name: read_selector(below) for name, below in fields.items()}
    return Selection(parts.get("ports", EVERYTHING), parts.get("networks", EVERYTHING), parts.get("tenants"))


def _excepted(branch: Branch | None, prefix: Prefix) -> tuple[Prefix, ...]:
    found: list[Prefix] = []
    for item in () if branch is None else branch.items(_MOST_VALUES, "[10.1.0.0/16]"):
        hole = item.one(read_prefix)
        if hole is None:
            continue
        if hole.version != prefix.version or hole == prefix or not hole.subnet_of(prefix):
            message = f"{hole} is no smaller part of {prefix}"
            item.fault("except-outside", message, "Write a longer prefix inside the cidr.")
        elif hole in found:
            item.fault("duplicate-item", f"{hole} stands twice", "Keep one of them.")
        else:
            found.append(hole)
    return tuple(found)


def _labels(branch: Branch) -> list[Requirement]:
    found = []
    for key, below in sorted(branch.pairs(), key=lambda pair: pair[0].text):
        if Branch(below.path, key, branch.tell).one(read_label_key) is None:
            continue
        value = below.one(read_label)
        if value is not None:
            found.append(Requirement(key.text, Operator.IN, (value,)))
    return found


def _requirement(branch: Branch) -> Requirement | None:
    fields = branch.fields("key", "operator", "values")
    if fields is None:
        return None
    for name, example in (("key", "tier"), ("operator", "In")):
        if name not in fields:
            branch.lacks(name, example)
    key = fields["key"].one(read_label_key) if "key" in fields else None
    operator = fields["operator"].choose(Operator) if "operator" in fields else None
    values = _values(fields["values"]) if "values" in fields else ()
    if key is None or operator is None:
        return None
    if (operator in _LISTING) != ("values" in fields and not fields["values"].is_empty()):
        said, advice = ("no", "Write values: [web].") if operator in _LISTING else ("some", "Take them out.")
        at = fields.get("values", branch)
        at.fault("selector-values", f"{operator.value} has {said} values", advice)
        return None
    return Requirement(key, operator, values)


def _values(branch: Branch) -> tuple[str, ...]:
    found: set[str] = set()
    for item in branch.items(_MOST_VALUES, "values: [web]"):
        value = item.one(read_label)
        if value in found:
            item.fault("duplicate-item", "it stands twice", "Keep one of them.")
        elif value is not None:
            found.add(value)
    return tuple(sorted(found))
