"""`ringfence policy`: policies beyond apply and get.

Place: a command, with an action each in a module of its own. Must not judge policies.
"""

from __future__ import annotations

import argparse

from controller.cli import policy_convert
from controller.cli.session import FORMATS, Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Policies are written, read and deleted as all objects are: apply, plan, get, delete. Here is what "
        "is more: NetworkPolicies of Kubernetes as policies of a tenant."
    )
    parser.epilog = (
        "examples:\n  ringfence policy convert --tenant acme networkpolicies.yaml > policies.yaml\n"
        "  kubectl get networkpolicies -A -o yaml | ringfence policy convert --tenant acme - -o json\n"
        "  ringfence get securitypolicies --tenant acme"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    convert = actions.add_parser(
        "convert", help="NetworkPolicies as manifests", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    policy_convert.declare(convert)
    for action in actions.choices.values():
        # As for every command, but without a default, which would undo what stands before the action.
        action.add_argument("-o", "--output", choices=FORMATS, default=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """See the action."""
    return policy_convert.run(arguments, session)
