"""`ringfence egress top`: who sends most right now, once.

Place: one GET /v1/usage/live. Must not work out rates: the API does.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from controller.cli import egress_rates as rates
from controller.cli.commands import OK

if TYPE_CHECKING:
    from controller.cli.session import Session

FORMS: Final = ("table", "json", "yaml")


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Who sends most right now, by the newest counters of each host. A host of which nothing has come "
        "lately is named as silent, with its age: what it sends is not known, and never shown as zero."
    )
    parser.epilog = (
        "examples:\n  ringfence egress top\n  ringfence egress top --by port -n 50\n"
        "  ringfence egress top --tenant blue --by class\n  ringfence egress top --over 5m -o json"
    )
    rates.declare(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Ask and print."""
    found = session.api.get("/v1/usage/live", rates.question(arguments))
    session.show(found, lambda value: _print(value, session))
    return OK


def _print(found: Any, session: Session) -> None:
    session.table(rates.title(found), rates.heads(found), rates.rows(found))
    for note in rates.notes(found):
        session.note(note)
