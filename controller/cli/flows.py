"""`ringfence flows`: the flows that a host's switch really has, with names for numbers.

Place: a command; the host's agent reads its switch when asked. Must not judge what a flow is for.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import Refused, segment
from controller.cli.commands import NOT_REACHED, OK
from controller.cli.faults import print_faults
from controller.cli.session import Session
from controller.cli.trace import port_name

Value = dict[str, Any]
_HEADS = ("table", "priority", "packets", "bytes", "owner", "match", "actions")
_COUNTS = ("table", "flows", "strangers", "packets", "bytes")
_DEFAULT = 200
_SILENT = frozenset({"host-silent", "answer-garbled"})


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "The flows of a host, read from its switch now, with names for tables, registers, ports, VNIs, VTEPs "
        "and for the object that each flow belongs to. A flow has to do with a port, network or tenant if it "
        "is its own, matches it or leads to it. Flows without our mark are shown as 'not ours'. Counters lag "
        "by up to a second. Exit code 3: the host does not answer."
    )
    parser.epilog = (
        "examples:\n  ringfence flows hv1 --counts\n  ringfence flows hv1 --port acme/web-1\n"
        "  ringfence flows hv1 --table resolve --network acme/net --limit 1000 -o json"
    )
    parser.add_argument("host", metavar="HOST", help="the hypervisor")
    parser.add_argument("--port", metavar="T/P", help="flows that have to do with this port")
    parser.add_argument("--network", metavar="T/N", help="flows that have to do with this network")
    parser.add_argument("--tenant", metavar="T", help="flows that have to do with this tenant")
    parser.add_argument("--table", metavar="NAME", help="of this table only (see docs/pipeline.md)")
    parser.add_argument("--counts", action="store_true", help="sums of each table instead of flows")
    parser.add_argument(
        "--limit",
        type=int,
        default=_DEFAULT,
        metavar="N",
        help=f"flows at most, to 2000 (default {_DEFAULT})",
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if a name is of nothing; 3 if the host does not answer."""
    query: Value = {"limit": 1 if arguments.counts else arguments.limit}
    for option in ("port", "network"):
        word = getattr(arguments, option)
        if word:
            query[option] = "/".join(port_name(word, arguments.tenant, f"--{option}"))
    for option in ("tenant", "table"):
        if getattr(arguments, option):
            query[option] = getattr(arguments, option)
    try:
        answer = session.api.get(f"/v1/flows/{segment(arguments.host)}", query)
    except Refused as error:
        if any(fault.get("rule") in _SILENT for fault in error.faults):
            print_faults(session, error.faults)
            return NOT_REACHED
        raise
    if arguments.counts:
        counted = {key: answer[key] for key in ("host", "counts", "unseen")}
        session.show(counted, lambda value: _print_counts(session, value))
    else:
        session.show(answer, lambda value: _print(session, value))
    return OK


def _print(session: Session, answer: Value) -> None:
    if answer["flows"]:
        session.table("", _HEADS, [_row(flow) for flow in answer["flows"]])
    else:
        session.note("none")
    if answer["left"]:
        session.note(f"{answer['left']} more are not shown: choose with --table, --port ..., or --limit")
    _tell_unseen(session, answer)


def _row(flow: Value) -> list[str]:
    numbers = [str(flow[key]) for key in ("priority", "packets", "octets")]
    return [flow["table"], *numbers, flow["owner"], flow["match"], flow["actions"]]


def _print_counts(session: Session, answer: Value) -> None:
    keys = ("table", "flows", "strangers", "packets", "octets")
    session.table("", _COUNTS, [[str(each[key]) for key in keys] for each in answer["counts"]])
    _tell_unseen(session, answer)


def _tell_unseen(session: Session, answer: Value) -> None:
    if answer["unseen"]:
        session.note(f"{answer['unseen']} flows were not looked at: it took too long; add --table")
