"""`ringfence migrate`: a port moves to another host together with its workload.

Place: a command. It tells the target's agent; the workload's own announcement there moves the port. Must not
wait for that: the workload may take its time.
"""

from __future__ import annotations

import argparse

from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Move a port to another host, as a live migration does. The target keeps the port blocked until "
        "its workload announces itself there (RARP or gratuitous ARP, as hypervisors send it), then takes "
        "it over; until then it lives where it did."
    )
    parser.epilog = (
        "examples:\n  ringfence migrate web-1 --tenant acme --to hv2\n"
        "  ringfence migrate web-1 --tenant acme --to hv2 --activate   take over at once\n"
        "  ringfence migrate web-1 --tenant acme --cancel              it stays where it is\n"
        "  ringfence migrate web-1 --tenant acme --forget hv2          and may not be on hv2 any more"
    )
    parser.add_argument("port", metavar="PORT", help="name of the port")
    parser.add_argument("--tenant", required=True, metavar="T", help="its tenant")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="HOST", help="where it moves to")
    target.add_argument("--cancel", action="store_true", help="it does not move, after all")
    target.add_argument(
        "--forget",
        metavar="HOST",
        help="it may not be on HOST any more: it does not move there, and nothing that is left there gets it",
    )
    parser.add_argument("--activate", action="store_true", help="do not wait for the workload's announcement")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such port or host, or nothing to move or to forget."""
    place = f"/v1/ports/{segment(arguments.tenant)}/{segment(arguments.port)}/migration"
    name = f"{arguments.tenant}/{arguments.port}"
    if arguments.cancel:
        answer = session.api.post(f"{place}/cancel")
        session.show(answer, lambda _: session.line(f"Port {name} stays where it is"))
        return OK
    if arguments.forget is not None:
        answer = session.api.post(f"{place}/forget", {"host": arguments.forget})
        session.show(answer, lambda _: session.line(f"Port {name} may not be on {arguments.forget} any more"))
        return OK
    query = {"to": arguments.to, "moment": "now" if arguments.activate else "announced"}
    answer = session.api.post(place, query)
    when = "at once" if arguments.activate else "when its workload announces itself there"
    words = f"Port {name} moves to {arguments.to}: plug it in there; {arguments.to} takes it over {when}"
    session.show(answer, lambda _: session.line(words))
    return OK
