"""Flags of more than one command: the cluster's policy, the ledger's memory, how much a host holds, papers.

Place: `ringfenced api` and `ringfenced agent` read them; `ringfenced all` takes the same and hands them on.
Must not hold a flag of one command alone.
"""

from __future__ import annotations

import math
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Final

from controller.agent.shares import CONNECTIONS, Shares
from controller.store.calling import Caller, parse_place
from controller.tls.endpoint import Endpoint, parse_endpoint
from controller.tls.endpoint import parse_place as parse_listener
from controller.tls.papers import Papers
from model.errors import Invalid
from model.intent import Guard, Policy

_NUMBERS: Final = (
    ("--peer-routes", "EVPN routes that a host keeps of a BGP peer, at most (default 200000)"),
    ("--tenant-routes", "MACs, addresses and prefixes of a tenant that a host keeps (default 50000)"),
    (
        "--mac-moves",
        "so many moves within --mac-window: a MAC is held where it was; 0 = never (default 5)",
    ),
    ("--mac-window", "seconds (default 180)"),
)


def add_policy(parser: ArgumentParser) -> tuple[Action, ...]:
    """How hosts take EVPN routes."""
    guard = parser.add_argument(
        "--guard",
        type=Guard,
        choices=list(Guard),
        default=Guard.ENFORCE,
        metavar="enforce|count",
        help="EVPN routes without a declaration: refuse them, or use and list them (default enforce)",
    )
    numbers = (parser.add_argument(name, type=_count, metavar="N", help=words) for name, words in _NUMBERS)
    return (guard, *numbers)


def policy(given: Namespace) -> Policy:
    """What the flags of `add_policy` say."""
    return Policy(given.guard, given.peer_routes, given.tenant_routes, given.mac_moves, given.mac_window)


def add_ledger(parser: ArgumentParser) -> tuple[Action, ...]:
    """For how long the ledger keeps what its sums are made of."""
    return (
        parser.add_argument(
            "--keep-intervals",
            type=_days,
            metavar="DAYS",
            help="days that the ledger keeps single intervals, 2 or more; hourly and daily sums, gaps and"
            " conflicts stay for ever, and so do intervals by default",
        ),
    )


def add_holdings(parser: ArgumentParser) -> tuple[Action, ...]:
    """How long a host holds routes, and how many connections of whom."""
    usual = Shares()
    return (
        parser.add_argument(
            "--hold", type=float, default=180.0, help="seconds that a withdrawn route is held"
        ),
        parser.add_argument(
            "--peer-hold",
            type=float,
            default=0.0,
            help="seconds that routes of a lost BGP peer stay; 0: until it is back and has said all that it"
            " has, or the store or path probes speak against them (default)",
        ),
        parser.add_argument(
            "--tenant-connections",
            type=int,
            default=usual.tenant,
            help="connections that a tenant may have tracked on this host: by its floating IPs, and as many"
            " behind its egress address (default %(default)s)",
        ),
        parser.add_argument(
            "--port-connections",
            type=int,
            default=usual.port,
            help="of these a port has at least so many, however many other ports its tenant has (default"
            " %(default)s)",
        ),
    )


def holds(parser: ArgumentParser, given: Namespace) -> tuple[float, float | None]:
    """Seconds that a withdrawn route is held, and one of a lost peer (None: without end); what can't be ends
    the process with a sentence.
    """
    if not (0 <= given.hold < math.inf and 0 <= given.peer_hold < math.inf):
        parser.error(f"--hold {given.hold} --peer-hold {given.peer_hold}: write seconds, 0 or more")
    return given.hold, given.peer_hold or None


def shares(parser: ArgumentParser, given: Namespace) -> Shares:
    """What the flags of `add_holdings` say of connections; what can't be ends the process with a sentence."""
    if not 0 < given.port_connections <= given.tenant_connections <= CONNECTIONS:
        parser.error(
            f"--port-connections {given.port_connections} --tenant-connections {given.tenant_connections}: "
            f"write 1 <= port <= tenant <= {CONNECTIONS}"
        )
    return Shares(given.tenant_connections, given.port_connections)


def place(text: str) -> Endpoint:
    """A flag's value: an address and a port to listen at."""
    try:
        return parse_listener(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def endpoint(text: str) -> Endpoint:
    """A flag's value: a server."""
    try:
        return parse_endpoint(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def add_papers(parser: ArgumentParser, flag: str, whose: str) -> None:
    """Who this end of TLS is, and whom it believes. `whose`: certificates that the authority vouches for."""
    for word, text in (
        ("cert", "certificate in PEM, with its intermediates; these files are read again when they change"),
        ("key", "its key in PEM, without a password, mode 0600"),
        ("ca", f"the authority in PEM that vouches for {whose} certificates"),
    ):
        parser.add_argument(f"{flag}-{word}", type=Path, metavar="FILE", help=text)


def papers(parser: ArgumentParser, given: Namespace, flag: str) -> Papers | None:
    """What the flags of `add_papers` say; some without the others end the process with a sentence."""
    names = [f"{flag}-{word}" for word in ("cert", "key", "ca")]
    found = [getattr(given, name.removeprefix("--").replace("-", "_")) for name in names]
    if not any(found):
        return None
    missing = [name for name, path in zip(names, found, strict=True) if not path]
    if missing:
        parser.error(f"{', '.join(missing)}: missing beside the others of {', '.join(names)}")
    return Papers(*(Path(path) for path in found))


def add_store(parser: ArgumentParser) -> None:
    """Where the store is, and as whom to go there."""
    parser.add_argument(
        "--store",
        default="unix:/run/ringfence/store.sock",
        metavar="unix:PATH|ssl:HOST:PORT",
        help="remote of the store, or several with commas between (default %(default)s); tcp:HOST:PORT for"
        " loopback; ssl: with a certificate, below",
    )
    add_papers(parser, "--store", "the store's")


def caller(parser: ArgumentParser, given: Namespace) -> Caller | None:
    """What the flags of `add_store` say of TLS; what can't be ends the process with a sentence. No file is
    read yet.
    """
    found = papers(parser, given, "--store")
    remotes = [each.strip() for each in str(given.store).split(",")]
    certified = [each.removeprefix("ssl:") for each in remotes if each.startswith("ssl:")]
    if not certified:
        if found is not None:
            parser.error("--store-cert, --store-key and --store-ca are for --store ssl:HOST:PORT")
        return None
    if found is None:
        parser.error(f"--store {given.store}: name --store-cert, --store-key and --store-ca, too")
    if any(each.startswith("tcp:") for each in remotes):
        # Else whoever keeps us from the one would be believed at the other.
        parser.error(f"--store {given.store}: write ssl: for all, or for none")
    try:
        for each in certified:
            parse_place(each)
    except Invalid as error:
        parser.error(f"--store: {error.faults[0].message}. {error.faults[0].remedy}")
    return Caller(found)


def words(actions: Iterable[Action], given: Namespace) -> list[str]:
    """Those of the flags that differ from their defaults, for the command line of another process."""
    found: list[str] = []
    for action in actions:
        value: Any = getattr(given, action.dest)
        if value != action.default:
            found += [action.option_strings[0], str(value.value if isinstance(value, Enum) else value)]
    return found


def _days(text: str) -> int:
    number = int(text)
    if not 2 <= number < 1 << 16:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 32:
        raise ValueError(text)
    return number
