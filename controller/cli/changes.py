"""Changes: how the answer to apply, plan and delete is laid out for people.

Place: used by those commands. Must not ask the API.
"""

from __future__ import annotations

from typing import Any, Final

from controller.cli.faults import print_fault
from controller.cli.policy_words import changed, default_changes, made
from controller.cli.session import Session

_POLICIES: Final = ("SecurityPolicy", "OperatorPolicy")
_DONE: Final = {"create": "created", "change": "changed", "delete": "deleted", "unchanged": "unchanged"}
_WOULD: Final = {"create": "create", "change": "change", "delete": "delete", "unchanged": "unchanged"}


def print_changes(session: Session, answer: dict[str, Any]) -> None:
    """One line for each object, then the sums; on stderr what is worth a word."""
    words = _WOULD if answer["dryRun"] else _DONE
    for change in answer["changes"]:
        if change["verb"] != "unchanged":
            session.line(f"{words[change['verb']]:<9} {_name(change)}{_details(change)}")
    counts = answer["counts"]
    sums = ", ".join(f"{counts[verb]} {_DONE[verb]}" for verb in _DONE if counts.get(verb))
    if answer["dryRun"]:
        sums = ", ".join(
            f"{counts[verb]} to {verb}" for verb in _WOULD if counts.get(verb) and verb != "unchanged"
        )
        session.line(f"{sums or 'nothing to do'}; nothing was written, and what is allocated is tentative")
    else:
        replayed = " (this request had already been done)" if answer["replayed"] else ""
        session.line(f"{sums or 'nothing to do'}; generation {answer['generation']}{replayed}")
    for warning in answer.get("warnings", ()):
        print_fault(session, warning, "warning: ")


def _name(change: dict[str, Any]) -> str:
    tenant = change.get("tenant")
    return f"{change['kind']} {tenant}/{change['name']}" if tenant else f"{change['kind']} {change['name']}"


def _details(change: dict[str, Any]) -> str:
    spec, before = change.get("spec") or {}, change.get("before")
    if before is not None and change["kind"] in _POLICIES:
        return "  " + (changed(before, spec) or "labels")
    if before is not None:
        moved = [
            f"{key} {_word(before.get(key))} -> {_word(spec.get(key))}"
            for key in sorted(spec | before)
            if key != "defaults" and spec.get(key) != before.get(key)
        ]
        moved += default_changes(before.get("defaults", {}), spec.get("defaults", {}))
        return "  " + ("; ".join(moved) or "labels")
    if change["kind"] in _POLICIES:
        return f"  {made(spec)}" if spec else ""
    shown = [
        _word(spec[key])
        for key in (
            "addresses",
            "mac",
            "subnets",
            "prefixes",
            "vtep",
            "prefix",
            "nextHops",
            "pools",
            "address",
            "port",
        )
        if spec.get(key)
    ]
    if "vni" in spec:
        shown.append(f"vni {spec['vni']}")
    if change["kind"] == "Port" and change.get("uid"):
        shown.append(f"iface-id {change['uid']}")
    return "  " + "  ".join(shown) if shown else ""


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_word, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "+".join(map(str, value.values()))
    return "none" if value is None else str(value)
