"""`ringfence policy promote`: what counts is enforced, if the evidence is there.

Place: an action of `ringfence policy`; the API weighs. Must not judge.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from controller.cli import waiting
from controller.cli.client import Wrong
from controller.cli.commands import OK
from controller.cli.session import Session

Value = dict[str, Any]
_ALL: Final = "all"
_HITS: Final = ("rule", "port", "packets", "connections")


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Enforces rules and defaults that count: those named, or all of the policy. Refused, with what is "
        "missing, until each port that they judge was watched for the hours asked for, no host with such a "
        "port is silent, and what would be dropped is accepted. Rules of the same owner that count above "
        "them are enforced as well, and named, so that exactly what was predicted is dropped. With --share "
        "only on that part of the ports: always the same ones, and a larger share has them too. Without "
        "NAME: the defaults of the tenant itself; without --tenant: a policy of the operator's."
    )
    parser.epilog = (
        "examples:\n  ringfence policy promote base --tenant acme --default in --hours 48 --share 10\n"
        "  ringfence policy promote base --tenant acme --hours 48\n"
        "  ringfence policy promote web --tenant acme --rule telnet --hours 24 --accept-hits 100\n"
        "  ringfence policy promote --tenant acme --default out --hours 168 --dry-run"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the policy")
    parser.add_argument("-t", "--tenant", metavar="T", help="its tenant; none: it is the operator's")
    parser.add_argument(
        "--rule", action="append", default=[], metavar="N|NAME", help="a rule of it, by number or name"
    )
    parser.add_argument(
        "--default", action="append", default=[], choices=("out", "in"), help="a default of it"
    )
    parser.add_argument(
        "--hours", type=float, required=True, metavar="H", help="of evidence on every port that it judges"
    )
    parser.add_argument("--share", type=int, default=100, metavar="P", help="percent of the ports (100)")
    parser.add_argument(
        "--accept-hits",
        nargs="?",
        const=_ALL,
        default="0",
        metavar="N",
        help="so many packets of each rule would have been dropped, and may be; without N: however many",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    waiting.declare_wait(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if it is refused; 3 if --wait ended too early."""
    waiting.check_timeout(arguments)
    if not arguments.name and not arguments.tenant:
        raise Wrong("name a policy, or --tenant T for the defaults of the tenant itself")
    if arguments.accept_hits != _ALL and not arguments.accept_hits.isdecimal():
        raise Wrong("--accept-hits is a number of packets, or stands last or alone")
    query: Value = {
        "hours": arguments.hours,
        "share": arguments.share,
        "accept": arguments.accept_hits,
        "rule": arguments.rule,
        "default": arguments.default,
        "dryRun": str(arguments.dry_run).lower(),
    }
    query |= {
        key: value for key, value in (("policy", arguments.name), ("tenant", arguments.tenant)) if value
    }
    answer = session.api.once("POST", "/v1/promotions", query)
    code, missing = OK, []
    if arguments.wait and not arguments.dry_run:
        code, missing = waiting.wait(session, answer, arguments.timeout)
        answer |= {"pending": missing}
    session.show(answer, lambda value: _print(session, value))
    if arguments.wait and not arguments.dry_run and session.form == "table":
        waiting.tell(session, answer, missing)
    return code


def _print(session: Session, answer: Value) -> None:
    told = answer["promotion"]
    if not told:
        session.line(f"nothing to do; generation {answer['generation']} (this had already been done)")
        return
    verb = "would be enforced" if answer["dryRun"] else "enforced"
    share = "" if told["share"] == 100 else f" on {told['share']} % of the ports"
    for rule in told["rules"]:
        session.line(f"{verb}{share}: {rule}")
    for rule in told["companions"]:
        session.line(f"{verb}{share}: {rule}, which would change what is dropped if it only counted")
    if told["hits"]:
        rows = [
            [h["rule"], h["port"], str(h["packets"]), "; ".join(h["samples"]) or "-"] for h in told["hits"]
        ]
        session.table("what it drops, as far as it was seen", _HITS, rows)
    session.line(f"{told['ports']} ports that only counted; generation {answer['generation']}")
