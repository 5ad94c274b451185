"""Policies in short: the cells of a table, and what a change of one did.

Place: used by `get` and by the answers to apply and plan. Takes the documents that the API answers. Must not
judge them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

Value = dict[str, Any]
_TOLD: Final = 6
"""Rules of one policy that a line names."""
_ENFORCED: Final = ("enforce", 100)


def cells(item: Value) -> list[str]:
    """Owner or tier, name, order, subject, how many ports that are, what is said of each direction, and how
    much of it is enforced."""
    metadata, spec = item["metadata"], item.get("spec", {})
    return [
        metadata.get("tenant") or spec.get("tier", "-"),
        metadata["name"],
        str(spec.get("order", 0)),
        subject(spec.get("subject", {})),
        str(item["status"].get("ports", "-")),
        *(_direction(spec, direction) for direction in ("out", "in")),
        item["status"].get("state") or _state(spec),
    ]


def subject(selection: Value) -> str:
    """As kubectl writes selectors, each with what it selects, unless it is ports."""
    parts = (
        (what, _selector(selection[what])) for what in ("ports", "networks", "tenants") if what in selection
    )
    told = [text if what == "ports" else f"{what} {text}" for what, text in parts]
    return "; ".join(told) or "all"


def made(spec: Value) -> str:
    """Of a new one."""
    return f"{_count(len(spec.get('rules', [])))} for {subject(spec.get('subject', {}))}"


def changed(before: Value, after: Value) -> str:
    """What of a spec is another now."""
    told = list(_rules(before.get("rules", []), after.get("rules", [])))
    if len(told) > _TOLD:
        told = [*told[:_TOLD], f"{len(told) - _TOLD} more"]
    for name, plain in (("order", 0), ("tier", "-"), ("onChange", "judge")):
        if before.get(name, plain) != after.get(name, plain):
            told.append(f"{name} {before.get(name, plain)} -> {after.get(name, plain)}")
    if before.get("subject") != after.get("subject"):
        told.append(f"subject {subject(before.get('subject', {}))} -> {subject(after.get('subject', {}))}")
    told += default_changes(before.get("defaults", {}), after.get("defaults", {}))
    return "; ".join(told)


def default(value: Value | str | None) -> str:
    """`deny`, `deny (count)`, `deny (10%)`."""
    if not isinstance(value, dict):
        return value or "-"
    state = _enforcement(value)
    return value["action"] if state == _ENFORCED else f"{value['action']} ({_word(state)})"


def _direction(spec: Value, direction: str) -> str:
    count = sum(rule["direction"] == direction for rule in spec.get("rules", []))
    last = spec.get("defaults", {}).get(direction)
    return (
        ", else ".join(
            word for word in (_count(count) if count else "", default(last) if last else "") if word
        )
        or "-"
    )


def _count(rules: int) -> str:
    return f"{rules} rule{'' if rules == 1 else 's'}"


def _state(spec: Value) -> str:
    said = [*spec.get("rules", []), *spec.get("defaults", {}).values()]
    states = [_enforcement(one) if isinstance(one, dict) else _ENFORCED for one in said]
    counting = sum(state == "count" for state, _ in states)
    partly = sum(state == "enforce" and share < 100 for state, share in states)
    told = [
        f"{number} of {len(said)} {word}"
        for number, word in ((counting, "count"), (partly, "in part"))
        if number
    ]
    return ", ".join(told) or ("enforced" if said else "-")


def _selector(selector: Value) -> str:
    told = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    told += map(_requirement, selector.get("matchExpressions", []))
    return ", ".join(told) or "all"


def _requirement(one: Value) -> str:
    match one["operator"]:
        case "In" | "NotIn":
            word = "in" if one["operator"] == "In" else "notin"
            return f"{one['key']} {word} ({', '.join(one['values'])})"
        case "Exists":
            return one["key"]
        case _:
            return f"!{one['key']}"


def _rules(before: list[Value], after: list[Value]) -> Iterator[str]:
    """Rules are the same if they are but for their state: so long evidence of them is kept."""
    old = {_meaning(rule): (number, rule) for number, rule in enumerate(before, 1)}
    new = {_meaning(rule): (number, rule) for number, rule in enumerate(after, 1)}
    for meaning, (number, rule) in new.items():
        if meaning not in old:
            yield f"{_named(number, rule)} new"
        elif _enforcement(rule) != (was := _enforcement(old[meaning][1])):
            yield f"{_named(number, rule)} {_word(was)} -> {_word(_enforcement(rule))}"
    for meaning, (number, rule) in old.items():
        if meaning not in new:
            yield f"{_named(number, rule)} gone"
    if [meaning for meaning in old if meaning in new] != [meaning for meaning in new if meaning in old]:
        yield "order of rules"


def default_changes(before: Value, after: Value) -> Iterator[str]:
    """Of a policy's or a tenant's."""
    for name in ("out", "in"):
        if before.get(name) != after.get(name):
            was, now = (default(one[name]) if name in one else "none" for one in (before, after))
            yield f"default {name} {was} -> {now}"


def _meaning(rule: Value) -> str:
    return json.dumps(
        {key: rule[key] for key in sorted(rule) if key not in ("state", "share")}, sort_keys=True
    )


def _named(number: int, rule: Value) -> str:
    return f"rule {number} ({rule['name']})" if rule.get("name") else f"rule {number}"


def _enforcement(one: Value) -> tuple[str, int]:
    return one.get("state", "enforce"), one.get("share", 100)


def _word(enforcement: tuple[str, int]) -> str:
    state, share = enforcement
    return state if share == 100 else f"{share}%"
