"""Verdict: whether the real switch does with a packet what the compiled flows do.

Place: pure; under `controller.agent.tracing`. Compares a walk with the answer of ofproto/trace, flow by flow,
then what is sent. Must not repair: the audits do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from controller.agent.naming import Names
from controller.southbound.tracing import Met, Traced
from model.errors import RingfenceError
from model.flow import Field
from pipelines import fields as f
from pipelines import render
from pipelines.walk import Step, Walk

Document = dict[str, Any]


def judge(done: Walk, names: Names, real: Callable[[], Traced]) -> Document:
    """`verdict`: agrees, differs, or unasked, with the reason in `text`."""
    try:
        traced = real()
    except RingfenceError as error:
        return _said("unasked", "; ".join(fault.message for fault in error.faults))
    except ValueError as error:
        return _said("unasked", f"its answer is not understood: {str(error)[:200]}")
    found = difference(done, traced, names)
    if found:
        return _said("differs", found)
    trouble = f"; but of the tunnel it says: {'; '.join(traced.trouble)}" if traced.trouble else ""
    return _said("agrees", f"{len(done.steps)} flows, as compiled{trouble}")


def difference(done: Walk, traced: Traced, names: Names) -> str:
    """The first difference in words; empty if there is none."""
    for step, met in zip_longest(done.steps, traced.path):
        if _same(step, met):
            continue
        return _differing(step, met, names)
    ours, theirs = [sent.port for sent in done.sent], [port for port, _ in traced.sent]
    if ours != theirs:
        return f"the switch sends to {_ports(theirs, names)}, the compiled flows to {_ports(ours, names)}"
    for sent, (port, written) in zip(done.sent, traced.sent, strict=True):
        for name in sorted(written):
            if sent.has(name) != written[name]:
                field = next((each for each in f.FIELDS if each.name == name), Field(name, 128))
                theirs_shown, ours_shown = (
                    names.number(field, number) for number in (written[name], sent.has(name))
                )
                return (
                    f"out of {names.port(port)} the switch writes {names.field(name)} = {theirs_shown}, "
                    f"the compiled flows {ours_shown}"
                )
    return ""


def _same(step: Step | None, met: Met | None) -> bool:
    if step is None or met is None or step.table != met.table:
        return False
    if step.flow is None or met.priority is None:
        return step.flow is None and met.priority is None
    return (step.flow.fill(step.flow.shape.priority), step.flow.cookie) == (met.priority, met.cookie)


def _differing(step: Step | None, met: Met | None, names: Names) -> str:
    if step is None or met is None or step.table != met.table:
        goes = f"goes on to {names.table(met.table)}" if met is not None else "ends"
        ours = f"go on to {names.table(step.table)}" if step is not None else "end"
        return f"the actions of the flow before differ: the switch {goes}, the compiled flows {ours}"
    place = f"in {names.table(step.table)}"
    wanted = "none" if step.flow is None else render.named(step.flow)
    if met.priority is None:
        return f"{place} the switch has no flow for it; compiled: {wanted}"
    whose = names.owner(met.cookie)
    match = met.match or "anything"
    there = f"priority={met.priority},{match} (cookie {met.cookie:#018x}: {whose})"
    return f"{place} another flow takes it: {there}; compiled: {wanted}"


def _ports(ports: list[int], names: Names) -> str:
    return ", ".join(names.port(port) for port in ports) or "nobody"


def _said(verdict: str, text: str) -> Document:
    return {"verdict": verdict, "text": text}
