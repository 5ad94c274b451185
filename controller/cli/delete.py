"""`ringfence delete`: one object by name, or all that manifests name.

Place: a command. Must not delete what was not named.
"""

from __future__ import annotations

import argparse

from controller.cli.apply import finish
from controller.cli.client import Wrong, segment
from controller.cli.get import KINDS
from controller.cli.session import Session
from controller.cli.sources import declare_files, gather
from controller.cli.waiting import check_timeout, declare_wait


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Delete one object, or every object that the manifests name: all or none. Refused while "
        "others need it. Numbers that are given up are not handed out again for a minute."
    )
    parser.epilog = (
        "examples:\n  ringfence delete port web-1 --tenant acme\n  ringfence delete -f examples/\n"
        "  ringfence delete tenant acme --wait"
    )
    parser.add_argument("kind", metavar="KIND", nargs="?", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", nargs="?")
    parser.add_argument("-t", "--tenant", metavar="T", help="the tenant of the object")
    declare_files(parser)
    declare_wait(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if refused; 3 if deleted, but not yet gone everywhere."""
    check_timeout(arguments)
    if arguments.files:
        if arguments.kind or arguments.tenant:
            raise Wrong("give KIND NAME or -f PATH, not both")
        answer = session.api.once("POST", "/v1/delete", body={"sources": gather(arguments.files)})
    elif arguments.kind and arguments.name:
        path = f"/v1/{segment(arguments.kind)}/{segment(arguments.name)}"
        answer = session.api.once("DELETE", path, {"tenant": arguments.tenant} if arguments.tenant else None)
    else:
        raise Wrong("what shall go? Give KIND NAME, or -f PATH")
    return finish(arguments, session, answer)
