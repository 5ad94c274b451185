"""`ringfence egress`: what the egress ledger holds, in several ways; each action in a file of its own.

Place: a command. Must not do anything but find the action.
"""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import TYPE_CHECKING, Final

from controller.cli import (
    egress_explain,
    egress_export,
    egress_plot,
    egress_report,
    egress_sums,
    egress_top,
    egress_verify,
    egress_watch,
)
from controller.cli.client import Wrong
from controller.cli.egress_times import RELATIVE

if TYPE_CHECKING:
    from controller.cli.session import Session

ACTIONS: Final[tuple[tuple[str, ModuleType, str], ...]] = (
    ("report", egress_report, "exact sums for a time"),
    ("top", egress_top, "who sends most right now"),
    ("watch", egress_watch, "live rates, refreshed"),
    ("explain", egress_explain, "what a figure of a report is made of"),
    ("sums", egress_sums, "how far sums have come, whether they are right, making them anew"),
    ("export", egress_export, "what is to be billed: FOCUS columns, with prices; plain or chained"),
    ("plot", egress_plot, "a picture of a tenant's egress over time"),
    ("verify", egress_verify, "is a chained export as it was written?"),
)
"""(name, module, one line). A module has FORMS (of -o), `declare(parser)` and `run(arguments, session)`."""


def declare(parser: argparse.ArgumentParser) -> None:
    """The actions with their options."""
    parser.description = (
        "What ports of tenants sent and got, as the egress ledger holds it: layer-3 bytes, exact to the byte."
        " What could not be known is shown as a gap."
    )
    parser.epilog = (
        "examples:\n  ringfence egress report\n"
        "  ringfence egress report --tenant blue --from -1h --by class\n"
        "  ringfence egress report --tenant blue --from 2026-11-01 --to 2026-12-01 -o csv\n"
        "  ringfence egress top --by port\n  ringfence egress watch --tenant blue\n"
        "  ringfence egress ACTION --help   explains one action, with examples"
    )
    # Forms that only some actions have may stand before the action, too; the action looks at them.
    forms = sorted({form for _, module, _ in ACTIONS for form in module.FORMS})
    parser.add_argument("-o", "--output", choices=forms, default="table", help="form of the result")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, module, text in ACTIONS:
        action = actions.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve"
        )
        # `-1h` is a value, not an option: argparse decides by this pattern, which knows numbers only.
        action._negative_number_matcher = RELATIVE
        module.declare(action)
        # As for every command, but without defaults, which would undo what stands before the action.
        action.add_argument("--api", metavar="unix:PATH", default=argparse.SUPPRESS, help="socket of the API")
        action.add_argument(
            "-o", "--output", choices=module.FORMS, default=argparse.SUPPRESS, help="form of the result"
        )
        action.set_defaults(chosen=module)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """What the action says."""
    if session.form not in arguments.chosen.FORMS:
        forms = ", ".join(arguments.chosen.FORMS)
        raise Wrong(f"{arguments.action} has no form {session.form}: choose from {forms}")
    return arguments.chosen.run(arguments, session)
