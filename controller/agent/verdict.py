"""Verdict: whether the real switch does with a packet what the compiled flows do.

Place: pure; under `controller.agent.tracing`. Compares a walk with the answer of ofproto/trace, flow by flow,
then what is sent. Must not repair: the audits do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from controller.agent.naming import Names
from controller.southbound.tracing import Met, Traced
from model.errors import RingfenceError
from model.flow import Field
from pipelines import fields as f
from pipelines import render
from pipelines.walk import Packet, Sent, Step, Walk

Document = dict[str, Any]
Real = Callable[[Packet, int], Traced]
"""What the switch would do with a packet that begins in a table. Raises model.errors if it can't be asked,
ValueError if its answer is not understood."""


def judge(done: Walk, names: Names, real: Real) -> Document:
    """`verdict`: agrees, differs, or unasked, with the reason in `text`."""
    trouble: list[str] = []
    try:
        for number, turn in enumerate(done.turns):
            traced = real(turn.packet, turn.table)
            found = difference([step for step in done.steps if step.turn == number], traced, names)
            if found:
                return _said("differs", found)
            trouble += traced.trouble
    except RingfenceError as error:
        return _said("unasked", "; ".join(fault.message for fault in error.faults))
    except ValueError as error:
        return _said("unasked", f"its answer is not understood: {str(error)[:200]}")
    more = f"; but of the tunnel it says: {'; '.join(trouble)}" if trouble else ""
    return _said("agrees", f"{len(done.steps)} flows, as compiled{more}")


def difference(steps: Sequence[Step], traced: Traced, names: Names) -> str:
    """The first difference of one turn in words; empty if there is none."""
    for step, met in zip_longest(steps, traced.path):
        if not _same(step, met):
            return _differing(step, met, names)
    left = [effect for step in steps for effect in step.effects if isinstance(effect, Sent)]
    ours, theirs = [sent.port for sent in left], [port for port, _ in traced.sent]
    if ours != theirs:
        return f"the switch sends to {_ports(theirs, names)}, the compiled flows to {_ports(ours, names)}"
    for sent, (port, written) in zip(left, traced.sent, strict=True):
        for name in sorted(written):
            if sent.has(name) != written[name]:
                return _writing(name, written[name], sent, names.port(port), names)
    return ""


def _writing(name: str, theirs: int, sent: Sent, port: str, names: Names) -> str:
    field = next((each for each in f.FIELDS if each.name == name), Field(name, 128))
    shown = [names.number(field, number) for number in (theirs, sent.has(name))]
    what = names.field(name)
    return f"out of {port} the switch writes {what} = {shown[0]}, the compiled flows {shown[1]}"


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
