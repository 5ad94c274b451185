"""Answers: what a write did or would do: the JSON value for clients, and its short form for the store.

Place: between `controller.api.service` and the plan's steps. The short form is kept with an idempotency key;
it must stay small, so it names the objects and leaves out their values. Pure.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from controller.api import view
from controller.store.records import Contents, PolicyRecord, Record
from ipam.steps import Plan, Step, Verb
from model.wanted import Kind, Reference

Answer = dict[str, Any]


def summarise(made: Plan, contents: Contents) -> Answer:
    """Each step with the values that it makes or changes. `contents`: those that the plan was made on."""
    return {
        "changed": bool(made),
        "counts": _counts(made),
        "changes": [_show(step, contents) for step in _told(made)],
    }


def shorten(made: Plan) -> str:
    """The same without values, as JSON text."""
    counts = _counts(made)
    steps = [
        [s.verb.value, s.reference.kind.value, s.reference.tenant, s.reference.name] for s in _told(made)
    ]
    return json.dumps({"changed": bool(made), "counts": counts, "steps": steps}, separators=(",", ":"))


def lengthen(text: str, contents: Contents) -> Answer:
    """The inverse of shorten, with the values that the objects have now."""
    plain = json.loads(text)
    steps = [(Verb(verb), Reference(Kind(kind), name, tenant)) for verb, kind, tenant, name in plain["steps"]]
    shown = [_named(verb, reference, contents.find(reference), contents) for verb, reference in steps]
    return {"changed": plain["changed"], "counts": plain["counts"], "changes": shown}


def touched(made: Plan) -> tuple[Reference, ...]:
    """What changes; if nothing does, all that was named: so that asking again waits for the same."""
    changing = tuple(s.reference for s in _told(made) if s.verb is not Verb.UNCHANGED)
    return changing or tuple(s.reference for s in _told(made))


def named(answer: Answer) -> tuple[Reference, ...]:
    """As touched, of an answer."""
    changes = answer["changes"]
    changing = [c for c in changes if c["verb"] != Verb.UNCHANGED.value] or changes
    return tuple(Reference(Kind(c["kind"]), c["name"], c.get("tenant")) for c in changing)


def _told(made: Plan) -> tuple[Step, ...]:
    """Without links: they follow from peerings, and nobody has asked for one. A policy that only made room
    for another says what it said."""
    told = (step for step in made.steps if step.reference.kind is not Kind.LINK)
    return tuple(replace(step, verb=Verb.UNCHANGED) if _made_room(step) else step for step in told)


def _made_room(step: Step) -> bool:
    match step.before, step.after:
        case PolicyRecord() as before, PolicyRecord() as after:
            return (before.value.policy, before.labels) == (after.value.policy, after.labels)
        case _:
            return False


def _counts(made: Plan) -> dict[str, int]:
    told = _told(made)
    return {verb.value: sum(step.verb is verb for step in told) for verb in Verb}


def _show(step: Step, contents: Contents) -> Answer:
    shown = _named(step.verb, step.reference, step.after, contents)
    if step.verb is Verb.CHANGE and step.before is not None:
        shown["before"] = view.document(step.before, contents, {}).get("spec", {})
    return shown


def _named(verb: Verb, reference: Reference, record: Record | None, contents: Contents) -> Answer:
    shown: Answer = {"verb": verb.value, "kind": reference.kind.value, "name": reference.name}
    if reference.tenant is not None:
        shown["tenant"] = reference.tenant
    if verb in {Verb.CREATE, Verb.CHANGE} and record is not None:
        after = view.document(record, contents, {})
        shown["spec"] = after.get("spec", {})
        shown["uid"] = after["metadata"].get("uid", "")
    return shown
