"""`ringfence trace`: where a packet goes, table by table and host by host, and whether the switches agree.

Place: a command; the API joins what the agents answer. Nothing is sent. Must not know tables or flows.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import Wrong
from controller.cli.commands import DIFFERS, DROPPED, NOT_REACHED, OK
from controller.cli.session import Session

Value = dict[str, Any]
_HEADS = ("table", "flow", "owner", "does")
_PORTS = 65_535


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "The walk of a packet from a port through the compiled tables of every host involved: which flow "
        "took it in each table, whose flow that is, what it did, and how it ended, with a remedy if it was "
        "dropped. Each host asks its real switch the same (ofproto/trace) and says whether it agrees. No "
        "packet is sent. The packet bears the port's own MAC and its first address of the family of --to; "
        "where it goes first is what ARP or neighbour discovery would be answered, which is shown, too. Exit "
        "code 0: it arrives; 6: it is dropped; 7: a switch differs; 3: a host does not answer."
    )
    parser.epilog = (
        "examples:\n  ringfence trace --tenant acme --from web-1 --to 10.0.0.7\n"
        "  ringfence trace --from acme/web-1 --to 2001:db8::7 --proto tcp --dport 443 -o json"
    )
    parser.add_argument("--tenant", metavar="T", help="tenant of the port, if --from does not say it")
    parser.add_argument("--from", dest="source", metavar="PORT", required=True, help="port, or TENANT/PORT")
    parser.add_argument("--to", metavar="ADDRESS", required=True, help="destination, IPv4 or IPv6")
    parser.add_argument(
        "--proto", choices=("icmp", "tcp", "udp"), default="icmp", help="default: icmp (echo)"
    )
    parser.add_argument("--sport", type=int, default=0, metavar="N", help="source port of tcp and udp")
    parser.add_argument("--dport", type=int, default=0, metavar="N", help="destination port of tcp and udp")
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="N",
        help="octets of the frame: 14 more than of the IP packet, which MTUs count",
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """See the description; 1 if the port can send nothing, or there is none."""
    tenant, name = port_name(arguments.source, arguments.tenant, "--from")
    for option in ("sport", "dport", "size"):
        if not 0 <= getattr(arguments, option) <= _PORTS:
            raise Wrong(f"--{option} is a number from 0 to {_PORTS}")
    if arguments.proto == "icmp" and (arguments.sport or arguments.dport):
        raise Wrong("--sport and --dport are for --proto tcp or udp")
    query = {"tenant": tenant, "port": name, "to": arguments.to, "proto": arguments.proto}
    query |= {option: getattr(arguments, option) for option in ("sport", "dport", "size")}
    answer = session.api.get("/v1/trace", query)
    session.show(answer, lambda value: _print(session, value))
    return _code(answer)


def port_name(word: str, tenant: str | None, option: str) -> tuple[str, str]:
    """(tenant, name) of `T/NAME`, or of `NAME` with --tenant. Wrong if they contradict or one lacks."""
    before, slash, after = word.partition("/")
    if slash and tenant and tenant != before:
        raise Wrong(f"{option} names tenant {before!a}, --tenant {tenant!a}")
    found = (before, after) if slash else (tenant or "", before)
    if not all(found):
        raise Wrong(f"{option} needs a tenant: write {option} TENANT/NAME, or add --tenant T")
    return found


def _code(answer: Value) -> int:
    if answer["switch"] != "agrees":
        return DIFFERS
    return {"unanswered": NOT_REACHED, "dropped": DROPPED}.get(answer["verdict"], OK)


def _print(session: Session, answer: Value) -> None:
    for leg in answer["legs"]:
        rows = [
            [s["table"], s["flow"] or "-", s["owner"] or "-", ", ".join(s["did"]) or "-"]
            for s in leg["steps"]
        ]
        title = f"{leg['host']}: {leg['title']}"
        if rows:
            session.table(title, _HEADS, rows)
        else:
            session.line(title)
        _print_end(session, leg)
    for end in answer["ends"]:
        session.line(f"{end['what']}: {end['text']}")
        if end["remedy"]:
            session.line(f"    {end['remedy']}")


def _print_end(session: Session, leg: Value) -> None:
    for end in leg["ends"]:
        session.line(f"  -> {end['text']}")
    if len(leg["ways"]) > 1:
        total = sum(way["hashes"] for way in leg["ways"])
        session.line("  the hash of a flow decides; this is one of:")
        for way in leg["ways"]:
            session.line(f"    {way['hashes']} of {total}: {way['text']}")
    said = {"agrees": "the switch agrees", "differs": "THE SWITCH DIFFERS"}
    verdict = said.get(leg["switch"]["verdict"], "THE SWITCH WAS NOT ASKED")
    session.line(f"  {verdict}: {leg['switch']['text']}")
    session.line("")
