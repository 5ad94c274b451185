"""`ringfence evpn`: the looking glass: neighbours, routes in use and what they became, and the rest.

Place: a command; the hosts' agents are asked now. Must not judge routes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from controller.cli.client import Refused, Wrong
from controller.cli.commands import NOT_REACHED, OK
from controller.cli.faults import print_faults
from controller.cli.session import Session

Value = dict[str, Any]
_DEFAULT: Final = 500
_SILENT: Final = frozenset({"host-silent", "answer-garbled"})
_LISTS: Final = ("neighbors", "routes", "advertised", "rejected", "duplicates")
_RELEASE: Final = "release"
_FILTERS: Final = ("tenant", "type", "mac", "ip")


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "EVPN as hosts see it, asked of their agents now. neighbors: BGP sessions, with what was received, "
        "accepted and refused, and the last error. routes: what is in use, and the flows that it became, by "
        "cookie (see: ringfence flows); with --paths every accepted route instead, and who says it. "
        "advertised: what hosts announce. rejected: what their guard refuses, and why. "
        "duplicates: MACs and addresses that several hosts say they have; one that moves too often is "
        "damped: it stays where it was until it is released, or the store says where it is. Exit code 3: a "
        "host did not answer."
    )
    parser.epilog = (
        "examples:\n  ringfence evpn neighbors\n  ringfence evpn routes --tenant acme --ip 10.0.0.7\n"
        "  ringfence evpn routes --paths --mac 02:00:00:00:00:01 -o json\n"
        "  ringfence evpn advertised --host hv1 --type 5\n  ringfence evpn rejected\n"
        "  ringfence evpn release 02:00:00:00:00:01 --network acme/net"
    )
    parser.add_argument("what", choices=(*_LISTS, _RELEASE))
    parser.add_argument("which", nargs="?", metavar="MAC|IP", help="release: what is damped")
    parser.add_argument("--network", metavar="T/N", help="release: the network that it is in")
    parser.add_argument("--host", metavar="HOST", help="of this host only")
    parser.add_argument("--tenant", metavar="T", help="of this tenant only")
    parser.add_argument("--type", type=int, choices=range(1, 6), help="of this EVPN route type only")
    parser.add_argument("--mac", metavar="MAC", help="with this MAC only")
    parser.add_argument("--ip", metavar="IP", help="with this address, or with a prefix that has it, only")
    parser.add_argument("--paths", action="store_true", help="routes: every accepted route, used or not")
    parser.add_argument(
        "--limit",
        type=int,
        default=_DEFAULT,
        metavar="N",
        help=f"rows at most, to 2000 (default {_DEFAULT})",
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if a name is of nothing; 3 if a host does not answer."""
    what = arguments.what
    if what == _RELEASE:
        return _release(arguments, session)
    if arguments.which or arguments.network:
        raise Wrong("a MAC or an address, and --network, are for: ringfence evpn release; see --mac and --ip")
    if arguments.paths and what != "routes":
        raise Wrong("--paths is for: ringfence evpn routes")
    if what == "neighbors" and any(getattr(arguments, name) for name in _FILTERS):
        raise Wrong("neighbors takes --host only")
    query: Value = {"limit": arguments.limit}
    for name in ("host", *_FILTERS):
        if getattr(arguments, name):
            query[name] = getattr(arguments, name)
    shown = "paths" if arguments.paths else what
    answer = _asked(session, lambda: session.api.get(f"/v1/evpn/{shown}", query))
    if answer is None:
        return NOT_REACHED
    heads, row = _TABLES[shown]
    session.show(answer, lambda value: _print(session, heads, [row(item) for item in value["items"]]))
    if answer["left"]:
        session.note(f"{answer['left']} more are not shown: choose with --host, --tenant ..., or --limit")
    return _tell_silent(session, answer)


def _asked(session: Session, ask: Callable[[], Value]) -> Value | None:
    """The answer; None if the one host that was asked is silent, which is said."""
    try:
        return ask()
    except Refused as error:
        if any(fault.get("rule") in _SILENT for fault in error.faults):
            print_faults(session, error.faults)
            return None
        raise


def _tell_silent(session: Session, answer: Value) -> int:
    for each in answer["silent"]:
        session.note(f"Hypervisor {each['host']} did not answer: {each['reason']}")
    return NOT_REACHED if answer["silent"] else OK


def _release(arguments: argparse.Namespace, session: Session) -> int:
    if not arguments.which or not arguments.network:
        raise Wrong("release needs a MAC or an address, and --network TENANT/NAME")
    if arguments.paths or any(getattr(arguments, name) for name in _FILTERS):
        raise Wrong("release takes --network and --host only")
    query = {"what": arguments.which, "network": arguments.network}
    query |= {"host": arguments.host} if arguments.host else {}
    answer = _asked(session, lambda: session.api.post("/v1/evpn/release", query))
    if answer is None:
        return NOT_REACHED
    session.show(answer, lambda value: _print_released(session, value))
    return _tell_silent(session, answer)


def _print_released(session: Session, answer: Value) -> None:
    for item in answer["items"]:
        words = f"{item['mac']} {' '.join(item['addresses'])}".strip()
        where = f"{words} in {item['network']}"
        session.line(f"{item['host']}: {where} is released; it was held at {item['vtep']}")
    if not answer["items"]:
        session.note("none of the hosts that answer damps it")


def _print(session: Session, heads: tuple[str, ...], rows: list[list[str]]) -> None:
    if rows:
        session.table("", heads, rows)
    else:
        session.note("none")


def _neighbour(item: Value) -> list[str]:
    words = [item["host"], item["peer"], item["state"], _time(item["seconds"]) if item["sessions"] else "-"]
    numbers = ("sessions", "received", "accepted", "refused")
    return [*words, *(str(item[name]) for name in numbers), item["error"] or "-"]


def _time(seconds: int) -> str:
    """`3d04h`, `2h05m`, `4m07s`, `9s`."""
    for size, word, part, minor in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{word}{seconds % size // part:02}{minor}"
    return f"{seconds}s"


def _route(item: Value) -> list[str]:
    of_segment = "mode" in item
    became = " ".join(f"{each['cookie']} ({each['flows']})" for each in item["became"])
    return [
        item["host"],
        item["kind"],
        item["network"] or "-",
        item["mac"] or "-",
        f"{item['segment']} {item['mode']}".strip() if of_segment else " ".join(item["addresses"]) or "-",
        item["vtep"],
        str(item["sequence"]),
        item["port"] or "-",
        became or ("-" if of_segment else "none here"),
    ]


def _path(item: Value) -> list[str]:
    words = [item["host"], item["network"] or "-", item["route"], item["vtep"], item["use"], item["state"]]
    return [*words, " ".join(item["peers"]) or "-"]


def _advertised(item: Value) -> list[str]:
    return [item["host"], item["network"] or "-", item["route"], " ".join(item["targets"])]


def _rejected(item: Value) -> list[str]:
    return [item["host"], item["peer"], item.get("verdict", "refused"), item["route"], item["reason"]]


def _duplicate(item: Value) -> list[str]:
    words = [item["host"], item["network"], item["mac"], " ".join(item["addresses"]) or "-", item["state"]]
    more = [str(item["moves"]), _time(item["seconds"]), item["vtep"]]
    return [*words, *more, " ".join(item["contenders"]) or "-"]


_Row = Callable[[Value], list[str]]
_TABLES: Final[dict[str, tuple[tuple[str, ...], _Row]]] = {
    "neighbors": (
        (*("host", "peer", "state", "since", "sessions", "received"), "accepted", "refused", "last error"),
        _neighbour,
    ),
    "routes": (
        (*("host", "kind", "network", "mac", "addresses", "vtep"), "sequence", "port", "flows"),
        _route,
    ),
    "paths": (("host", "network", "route", "vtep", "use", "state", "peers"), _path),
    "advertised": (("host", "network", "route", "route targets"), _advertised),
    "rejected": (("host", "peer", "verdict", "route", "reason"), _rejected),
    "duplicates": (
        (*("host", "network", "mac", "addresses", "state", "moves", "since"), "stays at", "said by"),
        _duplicate,
    ),
}
