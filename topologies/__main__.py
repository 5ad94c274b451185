"""`python -m topologies`: labs for people. `ringfence lab` execs this.

Place: the edge; parses, prints, sets exit codes: 0 done, 1 failed, 2 wrong use, 4 this machine can't run
labs, and that of the command for `exec`. Must not build labs itself: a holder in the background does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence

# Mininet still imports distutils; nobody who types a command can do anything about it.
warnings.filterwarnings("ignore", category=DeprecationWarning)

from topologies import bringing, directory  # noqa: E402
from topologies.deadline import until  # noqa: E402
from topologies.errors import LabError  # noqa: E402

OK, FAILED, INTERRUPTED, BROKEN_PIPE = 0, 1, 130, 141
_EXEC_TIMEOUT = 60.0
_DOWN_TIMEOUT = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is in the module's docstring."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough (`| head`): end quietly, as other programs do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ringfence lab",
        description="Labs on this machine: hypervisors, routers and VMs in network namespaces. Needs root.",
        epilog="exit codes: 0 done, 1 failed, 2 wrong use, 4 this machine can't run labs",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="build a lab and keep it in the background")
    up.add_argument("topology", metavar="NAME", help="what to build; see `list`")
    up.add_argument("--as", dest="name", metavar="LABEL", help="name of the lab (default: NAME)")
    up.add_argument("--hypervisors", type=int, metavar="N", help="how many")
    up.add_argument(
        "--bare", action="store_const", const="bare", default="", help="without Ringfence and VMs"
    )
    up.add_argument(
        "--timeout", type=float, default=bringing.TIMEOUT, metavar="S", help="give up after S seconds"
    )
    up.set_defaults(run=_up)
    hold = commands.add_parser("hold")
    for name in ("topology", "name"):
        hold.add_argument(name)
    hold.add_argument("hypervisors", type=int)
    hold.add_argument("bare", nargs="?", default="")
    hold.set_defaults(run=_hold)
    status = commands.add_parser("status", help="what runs in a lab")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    status.set_defaults(run=_status)
    execute = commands.add_parser("exec", help="run a command in a node; its exit code is returned")
    execute.add_argument(
        "--timeout", type=float, default=_EXEC_TIMEOUT, metavar="S", help="kill after S seconds"
    )
    execute.add_argument("node", metavar="HOST")
    execute.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER)
    execute.set_defaults(run=_exec)
    down = commands.add_parser("down", help="remove a lab with everything that it made")
    down.set_defaults(run=_down)
    for command in (status, execute, down):
        command.add_argument("--lab", metavar="LABEL", help="which lab (default: the only one)")
    commands.add_parser("list", help="topologies and labs").set_defaults(run=_list)
    commands.add_parser("demo", help="the demonstration").set_defaults(run=_demo, step="run")
    commands.add_parser("demo-down", help="remove the demonstration").set_defaults(run=_demo, step="down")
    return parser


def _up(arguments: argparse.Namespace) -> int:
    from topologies import catalog  # noqa: PLC0415 (Mininet: only where a lab is built)
    from topologies.lab import check_machine  # noqa: PLC0415
    from topologies.remote import Remote  # noqa: PLC0415

    entry = catalog.find(arguments.topology)
    name = arguments.name or entry.name
    try:
        check_machine()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return bringing.UNFIT
    if directory.held(directory.place(name)):
        raise LabError(f"lab {name} is up already: take it down first, or choose another name with --as")
    bringing.bring_up(
        entry.name, name, arguments.hypervisors or entry.hypervisors, arguments.bare, arguments.timeout
    )
    advice = Remote(name).status()["advice"]
    print(f"lab {name} is up. Next:")
    print(advice or "  ringfence lab status\n  ringfence lab exec hv1 ovs-vsctl show\n  ringfence lab down")
    return OK


def _hold(arguments: argparse.Namespace) -> int:
    from topologies import catalog  # noqa: PLC0415
    from topologies.fabrics import Plan  # noqa: PLC0415
    from topologies.holder import hold  # noqa: PLC0415

    entry = catalog.find(arguments.topology)
    return hold(arguments.name, entry, Plan(arguments.hypervisors, entry.frr_hosts), arguments.bare)


def _status(arguments: argparse.Namespace) -> int:
    from topologies.remote import Remote  # noqa: PLC0415

    found = Remote(_chosen(arguments.lab)).status()
    if arguments.output == "json":
        print(json.dumps(found, indent=2))
        return OK
    print(
        f"lab {found['name']} ({found['topology']}), up for {found['seconds']:.0f} s, in {found['directory']}"
    )
    if found["api"]:
        print(f"API: RINGFENCE_API={found['api']}")
    rows = [("node", "kind", "address", "daemons")]
    for node in found["nodes"]:
        daemons = ", ".join(f"{d} {state}" for d, state in node["daemons"].items())
        rows.append((node["name"], node["kind"], node["address"], daemons))
    _table(rows)
    if found["workloads"]:
        rows = [("VM", "tenant", "host", "addresses")]
        rows += [(w["node"], w["tenant"], w["host"], " ".join(w["addresses"])) for w in found["workloads"]]
        _table(rows)
    return OK


def _exec(arguments: argparse.Namespace) -> int:
    from topologies.remote import Remote  # noqa: PLC0415

    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise LabError("exec: give a command after the host")

    def show(stream: str, text: str) -> None:
        target = sys.stdout if stream == "stdout" else sys.stderr
        target.write(text)
        target.flush()

    return Remote(_chosen(arguments.lab)).stream(arguments.node, command, arguments.timeout, show)


def _down(arguments: argparse.Namespace) -> int:
    from topologies.remote import Remote  # noqa: PLC0415

    name = _chosen(arguments.lab)
    if directory.held(directory.place(name)):
        holder = directory.holder_of(name)
        try:
            Remote(name).down()
        except LabError as error:
            if holder is None:
                raise LabError(f"lab {name} lives inside another process, and ends with it") from error
            # Still building, or stuck: all that it made ends with it.
            os.kill(holder, signal.SIGKILL)
            until(f"the end of lab {name}", lambda: not directory.held(directory.place(name)), _DOWN_TIMEOUT)
    directory.clear(name)
    print(f"lab {name} is down")
    return OK


def _list(_arguments: argparse.Namespace) -> int:
    from topologies import catalog  # noqa: PLC0415

    _table([("topology", "what it is"), *((e.name, e.meaning) for e in catalog.ENTRIES)])
    labs = directory.names()
    if labs:
        _table([("lab", "state"), *((n, "up" if lives else "dead: `down` clears it") for n, lives in labs)])
    return OK


def _demo(arguments: argparse.Namespace) -> int:
    demo = importlib.import_module("topologies.demo")
    return int(getattr(demo, arguments.step)())


def _chosen(name: str | None) -> str:
    """The lab that is meant: named, or the only one there is."""
    if name:
        return name
    # Labs inside test processes are theirs alone: they are driven by name or not at all.
    labs = [n for n, lives in directory.names() if not lives or directory.holder_of(n)]
    if len(labs) != 1:
        said = f"choose with --lab: {', '.join(labs)}" if labs else "no lab is up: `ringfence lab up NAME`"
        raise LabError(said)
    return labs[0]


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
