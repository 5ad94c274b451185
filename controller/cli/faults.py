"""Faults: how mistakes are printed: where, which object and field, what is wrong, what to do.

Place: used by `controller.cli.main` and by commands that find mistakes before they ask the API.
Must not hide any.
"""

from __future__ import annotations

import json
from typing import Any

from controller.cli import paint
from controller.cli.session import Session

Fault = dict[str, Any]


def print_faults(session: Session, faults: list[Fault]) -> None:
    """Two lines for each on stderr; with -o json the list itself on stdout."""
    if session.form == "json":
        json.dump({"faults": faults}, session.out, indent=2)
        session.out.write("\n")
        return
    for fault in faults:
        print_fault(session, fault)
    kinds = len({fault.get("rule") for fault in faults})
    if len(faults) > 1:
        text = f"{len(faults)} mistakes of {kinds} kind{'s' if kinds > 1 else ''}; nothing was written"
        session.err.write(paint.emphasis(session.err, text) + "\n")


def print_fault(session: Session, fault: Fault, lead: str = "") -> None:
    """What is wrong, then the remedy."""
    session.note(lead + _where(fault) + _what(fault))
    session.note(f"    {fault.get('remedy', '')}")


def _where(fault: Fault) -> str:
    source, line = fault.get("source") or "", fault.get("line") or 0
    if not source:
        return ""
    return f"{source}:{line}: " if line else f"{source}: "


def _what(fault: Fault) -> str:
    path = fault.get("path") or ""
    field = f" {path}" if path else ""
    return f"{fault.get('object', '')}{field}: {fault.get('message', '')} [{fault.get('rule', '')}]"
