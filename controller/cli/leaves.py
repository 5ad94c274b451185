"""`ringfence ipam leaf-rules`: what the owner of leaf switches is to set on VF rails.

Place: a part of `ringfence ipam`. Must not judge: the API says the rules and writes the text.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import Wrong
from controller.cli.commands import OK
from controller.cli.session import Session

_PORTS = ("leaf", "rail", "node", "pf", "port")
_RULES = ("direction", "protocol", "compares", "port", "action", "why")


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments of this part."""
    parser.add_argument("--leaf", metavar="L", help="leaf-rules: of one leaf")
    parser.add_argument(
        "--format",
        choices=("table", "nft", "acl"),
        default="table",
        help="leaf-rules: nftables, or cl-acltool",
    )
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="NODE/PF=NAME",
        help="leaf-rules: how the leaf calls the port of a PF; again for each",
    )


def wanted(arguments: argparse.Namespace) -> bool:
    """Whether something was said that only this part knows."""
    return bool(arguments.leaf or arguments.port or arguments.format != "table")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such fabric or leaf, or it needs none."""
    if not arguments.fabric:
        raise Wrong("whose leaves? Add --fabric F")
    query: dict[str, Any] = {"fabric": arguments.fabric, "as": arguments.format}
    query |= {"leaf": arguments.leaf} if arguments.leaf else {}
    query |= {"port": arguments.port} if arguments.port else {}
    value = session.api.get("/v1/ipam/leaf-rules", query)
    session.show(value, lambda each: _print(session, each))
    nameless = sum(not port["port"] for leaf in value["leaves"] for port in leaf["ports"])
    if nameless and arguments.format != "table":
        session.note(f"{nameless} ports have no name, and so no rule: add --port NODE/PF=NAME for each")
    return OK


def _print(session: Session, value: dict[str, Any]) -> None:
    if any("text" in leaf for leaf in value["leaves"]):
        for leaf in value["leaves"]:
            session.out.write(leaf["text"])
        return
    rules = [
        (each["direction"], each["protocol"], each["side"], str(each["port"]), "drop", each["why"])
        for each in value["rules"]
    ]
    session.table("rules, for each of the ports", _RULES, rules)
    session.line("")
    ports = [
        (leaf["leaf"] or "-", each["rail"], each["node"], each["pf"], each["port"] or "-")
        for leaf in value["leaves"]
        for each in leaf["ports"]
    ]
    session.table("ports", _PORTS, ports)
