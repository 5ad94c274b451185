"""`ringfence ipam audit`: the truth table of store, hosts and fabrics; and taking back what nobody bears.

Place: a part of `ringfence ipam`. The API judges, and says what may be taken back; a person says that it is.
"""

from __future__ import annotations

import argparse
import sys
from time import monotonic, sleep
from typing import Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import NOT_REACHED, OK, REFUSED
from controller.cli.session import Session

Value = dict[str, Any]
_HEADS: Final = ("fabric", "node", "pf", "vf", "store", "host", "port", "verdict")
_PAUSE: Final = 5.0
"""Seconds between two looks."""
_PATIENCE: Final = 600.0


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments of this part."""
    parser.add_argument("--all", action="store_true", help="audit: also what is as it should be")
    parser.add_argument(
        "--reclaim",
        action="store_true",
        help="audit: look several times, show what nobody bears, and take it back if you say so",
    )
    parser.add_argument("--yes", action="store_true", help="with --reclaim: do not ask")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0 if nothing is wrong, 1 if something is; with --reclaim 0 if all that was found is taken back."""
    if arguments.reclaim:
        return _reclaim(arguments, session)
    value = session.api.get("/v1/ipam/audit", {"all": "true"} if arguments.all else None)
    session.show(value, lambda each: _print(session, each))
    return OK if value["clean"] else REFUSED


def _print(session: Session, value: Value) -> None:
    if value["rows"]:
        session.table("VFs and ports", _HEADS, [_row(row) for row in value["rows"]])
        session.line("")
    for each in value["findings"]:
        session.line(f"[{each['rule']}] {each['object']}: {each['message']}. {_sentence(each['remedy'])}")
    if value["findings"]:
        session.line("")
    agreed = value["agreement"]
    counts = ", ".join(f"{count} {words}" for words, count in agreed["counts"].items())
    shared = f"{len(agreed['clashes'])} clash" if agreed["clashes"] else "none is shared"
    session.line(f"{agreed['tenants']} tenants on rails, {agreed['apart']} pairs apart: {counts}: {shared}")
    count = len(value["findings"])
    verdict = "all agree" if value["clean"] else f"{count} finding{'s' if count != 1 else ''}"
    session.line(f"{value['checked']} VFs and ports, store, host and fabric: {verdict}")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."


def _row(row: Value) -> tuple[str, ...]:
    where = (row["fabric"], row["node"] or "-", row["pf"] or row["portGuid"])
    vf = str(row["vf"]) if row["vf"] >= 0 else "-"
    return (
        *where,
        vf,
        _store(row["store"]),
        _seen(row["seen"]),
        _port(row["port"]),
        _verdict(row["verdict"]),
    )


def _store(store: Value) -> str:
    if "gang" not in store:
        return "free"
    name = f"{store['tenant']}/{store['gang']}"
    if store["hold"] == "cooling":
        return f"cools {store['coolsMs'] // 1000} s ({name})"
    words = [name, store["state"]]
    words += [f"{store['pkey']} {store['membership']}"] if "pkey" in store else []
    words += [store["mac"]] if "mac" in store else []
    return ", ".join(words)


def _seen(seen: Value) -> str:
    if seen["said"] != "told":
        return "-" if seen["said"] == "untold" else "silent"
    if not seen["there"]:
        return "missing"
    words = [seen.get("driver", "no driver"), seen.get("portGuid") or seen.get("mac", "")]
    words += [f"VLAN {seen['vlan']}"] if "vlan" in seen else []
    return " ".join(word for word in words if word)


def _port(port: Value) -> str:
    if port["said"] != "told":
        return "-" if port["said"] == "untold" else "silent"
    return "no answer" if port["table"] is None else " ".join(port["table"]) or "empty"


def _verdict(rules: list[str]) -> str:
    return ", ".join(rules) or "ok"


def _reclaim(arguments: argparse.Namespace, session: Session) -> int:
    end = monotonic() + _PATIENCE
    orphans = session.api.get("/v1/ipam/audit")["orphans"]
    while any(not each["ripe"] and not each["hindered"] for each in orphans):
        if monotonic() >= end:
            session.note(f"in {_PATIENCE:g} s they were not seen often enough: is somebody silent?")
            return NOT_REACHED
        few = min(each["looks"] for each in orphans if not each["hindered"])
        session.note(f"look {few} of {orphans[0]['needed']}: {len(orphans)} that nobody bears")
        sleep(_PAUSE)
        orphans = session.api.get("/v1/ipam/audit")["orphans"]
    plan = [each for each in orphans if each["ripe"]]
    for each in orphans:
        told = "would be taken back" if each["ripe"] else f"stays: {each['hindered']}"
        session.note(f"{each['name']} on {each['fabric']}, seen by {each['seenBy']}: {told}")
    if not plan:
        session.show(
            {"taken": [], "gangs": [], "left": orphans}, lambda _: session.line("nothing to take back")
        )
        return REFUSED if orphans else OK
    if not arguments.yes and not _confirmed(session, len(plan)):
        session.note("nothing was taken back")
        return REFUSED
    answer = session.api.post("/v1/ipam/reclaim", None, {"orphans": [each["name"] for each in plan]})
    session.show(answer, lambda each: _taken(session, each))
    return REFUSED if answer["left"] else OK


def _confirmed(session: Session, count: int) -> bool:
    if not sys.stdin.isatty():
        raise Wrong("nobody is there to ask: look at the list, and write --yes")
    session.note(f"Take {count} back? Whoever uses them loses them. Write yes:")
    return sys.stdin.readline().strip() == "yes"


def _taken(session: Session, answer: Value) -> None:
    for each in answer["gangs"]:
        name = f"{each['tenant']}/{each['name']}"
        session.line(f"Gang {name}, generation {each['generation']}, has them and is being undone")
    session.line(f"{len(answer['taken'])} taken back; see: ringfence gang get, ringfence ipam audit")
