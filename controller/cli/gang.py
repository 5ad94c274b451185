"""`ringfence gang`: the interfaces of a job on the rails of its nodes, all or none.

Place: a command. Reads a request from a file; the API alone judges it. Must not place anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Final

from controller.cli.client import Wrong, segment
from controller.cli.commands import OK
from controller.cli.gang_export import declare_export, run_export
from controller.cli.gang_wait import check_timeout, declare_wait, until_active, until_gone
from controller.cli.session import Session

_LARGEST: Final = 1 << 20
"""Bytes of a request's file."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Ask for the secondary interfaces of a job: on each of its nodes and rails a virtual function with "
        "addresses, MAC or GUIDs, and the tenant's partition key; all of them or none. What is reserved is "
        "set up by the agents of its hosts and by the process of its fabric, and active once all of it was "
        "read back."
    )
    parser.epilog = (
        "examples:\n  ringfence gang request -f train.yaml --wait         until its links are up\n"
        "  ringfence gang request -f train.yaml --dry-run   where it would be; nothing is reserved\n"
        "  ringfence gang explain -f train.yaml             the same, and of each node why or why not\n"
        "  ringfence gang get                               all gangs; with NAME --tenant T: one, whole\n"
        "  ringfence gang get train --tenant acme --watch   until it is active, or why not\n"
        "  ringfence gang release train --tenant acme --generation 41\n"
        "  ringfence gang release train --tenant acme --without h200-7   a node that is dead for good\n"
        "  ringfence gang export train --tenant acme --node h200-1 --as libvirt"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    ask = actions.add_parser("request", help="reserve a gang")
    _add_file(ask)
    ask.add_argument("--dry-run", action="store_true", help="only show where it would be")
    ask.add_argument(
        "--key", default="", metavar="KEY", help="idempotency key: asking again with it reserves nothing more"
    )
    declare_wait(ask, "it is active")
    _add_file(actions.add_parser("explain", help="where a gang would be, and of each node why or why not"))
    get = actions.add_parser("get", help="list gangs, or show one")
    get.add_argument("name", nargs="?", metavar="NAME", help="of one gang")
    get.add_argument("--tenant", metavar="T", help="its tenant; of a list: this tenant's only")
    declare_wait(get, "it is active", "--watch")
    release = actions.add_parser("release", help="give everything of a gang back")
    release.add_argument("name", metavar="NAME", help="name of the gang")
    release.add_argument("--tenant", required=True, metavar="T", help="its tenant")
    release.add_argument(
        "--generation",
        type=int,
        default=0,
        metavar="N",
        help="only the gang of this generation, no later one",
    )
    release.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NODE",
        help="a node that is dead for good: nothing is waited for from there; repeat for more",
    )
    declare_wait(release, "nothing bears it any more")
    export = declare_export(actions)
    for action in (ask, get, release, export, actions.choices["explain"]):
        # As for every command, but without a default, which would undo what stands before the action.
        action.add_argument("-o", "--output", choices=("table", "json", "yaml"), default=argparse.SUPPRESS)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--file", required=True, metavar="PATH", help="the request, YAML or JSON; - for standard input"
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if it is refused, with everything that is missing; 3 if it was waited for in vain."""
    match arguments.action:
        case "request":
            return _request(arguments, session)
        case "explain":
            answer = _ask(arguments, session)
            session.show(answer, lambda value: _print_verdicts(session, value))
        case "get" if arguments.name:
            if not arguments.tenant:
                raise Wrong("whose gang? Add --tenant T")
            return _get(arguments, session)
        case "get" if arguments.watch:
            raise Wrong("--watch is of one gang: name it, with --tenant T")
        case "get":
            answer = session.api.get("/v1/gangs", {"tenant": arguments.tenant} if arguments.tenant else None)
            session.show(answer, lambda value: _print_list(session, value))
        case "export":
            run_export(arguments, session)
        case _:
            return _release(arguments, session)
    return OK


def _get(arguments: argparse.Namespace, session: Session) -> int:
    check_timeout(arguments)
    answer, code = session.api.get(_place(arguments.tenant, arguments.name)), OK
    if arguments.watch:
        code, answer = until_active(session, answer, arguments.timeout)
    session.show(answer, lambda value: _print_gang(session, value))
    return code


def _request(arguments: argparse.Namespace, session: Session) -> int:
    check_timeout(arguments)
    answer, code = _ask(arguments, session), OK
    if arguments.wait and not arguments.dry_run:
        code, answer = until_active(session, answer, arguments.timeout)
    session.show(answer, lambda value: _print_gang(session, value))
    return code


def _release(arguments: argparse.Namespace, session: Session) -> int:
    check_timeout(arguments)
    query: dict[str, Any] = {"generation": arguments.generation} if arguments.generation else {}
    query |= {"without": arguments.without} if arguments.without else {}
    answer, code = session.api.once("DELETE", _place(arguments.tenant, arguments.name), query or None), OK
    if arguments.wait and not answer["released"]:
        code, found = until_gone(session, answer, arguments.timeout)
        answer |= {"status": {"state": found["status"]["state"]}, "released": code == OK}
    if answer["released"]:
        words = "is released; what it had cools down"
    else:
        words = f"is {answer['status']['state']}: its hosts and its fabric give it back"
    session.show(answer, lambda _: session.line(f"Gang {arguments.tenant}/{arguments.name} {words}"))
    return code


def _place(tenant: str, name: str) -> str:
    return f"/v1/tenants/{segment(tenant)}/gangs/{segment(name)}"


def _ask(arguments: argparse.Namespace, session: Session) -> Any:
    said = _read(arguments.file)
    tenant = said.pop("tenant", None)
    if not isinstance(tenant, str) or not tenant:
        raise Wrong(f"{arguments.file} names no tenant: add tenant: T")
    place = f"/v1/tenants/{segment(tenant)}/gangs"
    if arguments.action == "explain" or arguments.dry_run:
        return session.api.post(place, {"dryRun": "true"}, said)
    return session.api.once("POST", place, body=said, key=arguments.key)


def _read(path: str) -> dict[str, Any]:
    import yaml

    try:
        raw = sys.stdin.buffer.read(_LARGEST + 1) if path == "-" else _load(path)
        value = yaml.load(raw, Loader=yaml.CSafeLoader)
        json.dumps(value)  # dates and the like are nothing that a request has
    except OSError as error:
        raise Wrong(f"{path} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError, ValueError) as error:
        raise Wrong(f"{path} is no request: {error}") from error
    if len(raw) > _LARGEST or not isinstance(value, dict):
        raise Wrong(f"{path} is no request: it has to be one mapping of at most {_LARGEST >> 20} MiB")
    return value


def _load(path: str) -> bytes:
    with open(os.path.abspath(path), "rb") as file:
        return file.read(_LARGEST + 1)


def _print_list(session: Session, answer: Any) -> None:
    heads = (
        "TENANT", "NAME", "FABRIC", "STATE", "NODES", "INTERFACES", "PKEY", "GENERATION", "WAITS FOR",
    )  # fmt: skip
    rows = [
        (
            item["metadata"]["tenant"],
            item["metadata"]["name"],
            item["spec"]["fabric"],
            item["status"]["state"],
            str(len(item["status"]["nodes"])),
            str(item["status"]["interfaces"]),
            item["status"].get("pkey", "-"),
            str(item["metadata"]["generation"]),
            item["status"].get("waitsFor", {}).get("why") or item["status"].get("why") or "-",
        )
        for item in answer["items"]
    ]
    session.table("Gangs", heads, rows)


def _print_gang(session: Session, answer: Any) -> None:
    named, status = answer["metadata"], answer["status"]
    where = f"{len(status['nodes'])} nodes, {status['interfaces']} interfaces"
    pkey = f", partition key {status['pkey']}" if "pkey" in status else ""
    which = f", generation {named['generation']}" if "generation" in named else ", nothing is reserved"
    session.line(f"Gang {named['tenant']}/{named['name']}: {status['state']}: {where}{pkey}{which}")
    if status.get("why"):
        session.line(f"why: {status['why']}")
    if "waitsFor" in status:
        session.line(f"waits: {status['waitsFor']['why']}")
    heads = ("NODE", "HOST", "RAIL", "PF", "VF", "ADDRESSES", "MAC OR PORT GUID")
    rows = [
        (
            berth["node"],
            berth["host"],
            str(interface["rail"]),
            interface["pf"],
            str(interface["vf"]),
            " ".join(interface["addresses"]) or "-",
            interface.get("mac") or interface.get("portGuid", "-"),
        )
        for berth in status["nodes"]
        for interface in berth["interfaces"]
    ]
    session.table("Interfaces", heads, rows)


def _print_verdicts(session: Session, answer: Any) -> None:
    named, status = answer["metadata"], answer["status"]
    where = f"{len(status['nodes'])} nodes, {status['interfaces']} interfaces"
    session.line(f"Gang {named['tenant']}/{named['name']} would be on {where}; nothing is reserved")
    rows = [(v["node"], "yes" if v["chosen"] else "no", "; ".join(v["why"])) for v in answer["verdicts"]]
    session.table("Nodes", ("NODE", "CHOSEN", "WHY"), rows)
