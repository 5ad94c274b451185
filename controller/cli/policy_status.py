"""`ringfence policy status`: what rules do, how well they were watched, and what they would have dropped.

Place: an action of `ringfence policy`. Must not judge whether that is enough: `promote` does.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from controller.cli.commands import OK
from controller.cli.drift import moment
from controller.cli.session import Session

Value = dict[str, Any]
_HEADS: Final = (
    *("tenant", "policy", "rule", "does", "state", "ports", "evidence", "least hours"),
    *("would drop", "bytes", "last", "decided"),
)
_HITS: Final = ("rule", "port", "packets", "bytes", "last", "connections")
_LEAST: Final = 10


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Shows each rule and default of policies, and defaults of tenants: on how many ports it judges; of "
        "those on which it only counts, on how many it was watched and the least hours of any of them; the "
        "packets that it would have dropped there, and when the last of them came; and the packets that it "
        "decided where it is enforced. -v lists the ports that were hit, with some of the connections, and "
        "the ports that were watched least. Hosts tell this once a minute."
    )
    parser.epilog = (
        "examples:\n  ringfence policy status --tenant acme\n"
        "  ringfence policy status web --tenant acme -v\n"
        "  ringfence policy status -o json"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of one policy only")
    parser.add_argument("-t", "--tenant", metavar="T", help="of one tenant; else of all, and the operator's")
    parser.add_argument("-v", "--verbose", action="store_true", help="with ports and connections")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such policy or tenant."""
    asked = (("policy", arguments.name), ("tenant", arguments.tenant))
    query = {key: value for key, value in asked if value}
    answer = session.api.get("/v1/evidence", query)
    session.show(answer, lambda value: _print(session, value["items"], verbose=arguments.verbose))
    return OK


def _print(session: Session, items: list[Value], *, verbose: bool) -> None:
    if not items:
        session.note("no rules and no defaults")
        return
    session.table("rules", _HEADS, [_row(item) for item in items])
    if not verbose:
        return
    hits = [[titled(item), *_hit(hit)] for item in items for hit in item["hitPorts"]]
    if hits:
        session.line("")
        session.table("what would have been dropped", _HITS, hits)
    least = [
        [titled(item), port["port"], f"{port['hours']:g}"]
        for item in items
        for port in item["leastWatched"][:_LEAST]
    ]
    if least:
        session.line("")
        session.table("watched least", ("rule", "port", "hours"), least)


def titled(item: Value) -> str:
    """A rule as it is named on the command line."""
    owner = "/".join(part for part in (item["tenant"], item["policy"]) if part)
    return f"{owner} {_rule(item)}"


def _rule(item: Value) -> str:
    if not item["rule"]:
        return f"default {item['direction']}"
    return f"{item['rule']} ({item['name']})" if item["name"] else str(item["rule"])


def _row(item: Value) -> list[str]:
    hits, counts = item["hits"], item["counting"]
    return [
        item["tenant"] or "-",
        item["policy"] or "-",
        _rule(item),
        f"{item['action']} {item['direction']}",
        item["state"] if item["share"] == 100 else f"{item['state']} {item['share']} %",
        str(item["ports"]),
        f"{item['watched']} of {counts}" if item["hours"] is not None else "-",
        "-" if item["hours"] is None else f"{item['hours']:g}",
        f"{hits['packets']} at {hits['ports']}" if hits["packets"] else "0",
        str(hits["octets"]),
        moment(hits["lastMs"])[:-4] if hits["lastMs"] else "-",
        str(item["decided"]["packets"]),
    ]


def _hit(hit: Value) -> list[str]:
    connections = "; ".join(hit["samples"]) or "-"
    return [hit["port"], str(hit["packets"]), str(hit["octets"]), moment(hit["lastMs"])[:-4], connections]
