"""`ringfence policy`: policies beyond apply and get.

Place: a command, with an action each in a module of its own. Must not judge policies.
"""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from controller.cli import policy_convert, policy_promote, policy_status
from controller.cli.session import FORMATS, Session


class _Action(Protocol):
    def declare(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, session: Session) -> int: ...


_ACTIONS: Final[tuple[tuple[str, _Action, str], ...]] = (
    ("status", policy_status, "rules, their evidence, and what they would have dropped"),
    ("promote", policy_promote, "enforce what counts, by evidence"),
    ("convert", policy_convert, "NetworkPolicies as manifests"),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Policies are written, read and deleted as all objects are: apply, plan, get, delete. Here is what "
        "is more: what rules do and would drop, the way from counting to enforcing, and NetworkPolicies of "
        "Kubernetes as policies of a tenant."
    )
    parser.epilog = (
        "examples:\n  ringfence policy status --tenant acme\n"
        "  ringfence policy promote base --tenant acme --hours 48 --share 10\n"
        "  ringfence policy convert --tenant acme networkpolicies.yaml > policies.yaml\n"
        "  kubectl get networkpolicies -A -o yaml | ringfence policy convert --tenant acme - -o json\n"
        "  ringfence get securitypolicies --tenant acme"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, module, text in _ACTIONS:
        module.declare(
            actions.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        )
    for action in actions.choices.values():
        # As for every command, but without a default, which would undo what stands before the action.
        action.add_argument("-o", "--output", choices=FORMATS, default=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """See the action."""
    module = next(module for name, module, _ in _ACTIONS if name == arguments.action)
    return module.run(arguments, session)
