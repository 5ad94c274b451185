"""`ringfence apply`: create or change what manifests say, all or nothing.

Place: a command. Must not judge manifests: the API does.
"""

from __future__ import annotations

import argparse

from controller.cli.changes import print_changes
from controller.cli.commands import OK
from controller.cli.session import Session
from controller.cli.sources import declare_files, gather
from controller.cli.waiting import check_timeout, declare_wait, tell, wait


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Create or change every object of the manifests, or none. Never deletes. Fields that are left "
        "out keep what they have; addresses, MACs and VNIs that were never given are allocated. Of policies "
        "the whole is replaced, and rules that can never match are named as warnings."
    )
    parser.epilog = (
        "examples:\n  ringfence apply -f examples/tenants.yaml\n"
        "  ringfence apply -f examples/ --wait --timeout 30\n"
        "  ringfence get port -o yaml | ringfence apply -f -"
    )
    declare_files(parser)
    declare_wait(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if refused; 3 if written, but not programmed in time."""
    check_timeout(arguments)
    answer = session.api.post("/v1/apply", body={"sources": gather(arguments.files)})
    return finish(arguments, session, answer)


def finish(arguments: argparse.Namespace, session: Session, answer: dict[str, object]) -> int:
    """Print what was done, at once; then wait, if that was asked for."""
    code = OK
    if session.form == "table":
        session.show(answer, lambda value: print_changes(session, value))
        session.out.flush()
    if arguments.wait:
        code, missing = wait(session, answer, arguments.timeout)
        answer["pending"] = missing
        if session.form == "table":
            tell(session, answer, missing)
    if session.form != "table":
        session.show(answer, lambda value: print_changes(session, value))
    return code
