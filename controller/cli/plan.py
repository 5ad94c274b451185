"""`ringfence plan`: what apply would do, without doing it.

Place: a command. Must not judge manifests: the API does.
"""

from __future__ import annotations

import argparse

from controller.cli.changes import print_changes
from controller.cli.commands import OK
from controller.cli.session import Session
from controller.cli.sources import declare_files, gather


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Check the manifests and show what apply would do. Nothing is written. The same allocator "
        "runs, so what it shows is what a free pool would give now: tentative, until applied."
    )
    parser.epilog = "examples:\n  ringfence plan -f examples/\n  ringfence plan -f new.yaml -o json"
    declare_files(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0, also if there is nothing to do; 1 if apply would be refused."""
    body = {"sources": gather(arguments.files), "dryRun": True}
    answer = session.api.post("/v1/apply", body=body)
    session.show(answer, lambda value: print_changes(session, value))
    return OK
