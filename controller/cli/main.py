"""The `ringfence` command: finds the command, runs it, turns every failure into words and an exit code.

Place: entry point. Must stay light: `ringfence --help` costs less than 100 ms of CPU, so nothing foreign is
imported here and each command's module only when it is chosen.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from controller.cli.commands import (
    BROKEN_PIPE,
    COMMANDS,
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    OK,
    REFUSED,
    UNREACHABLE,
    USAGE,
)

if TYPE_CHECKING:
    from controller.cli.session import Session

_WIDTH = 96
_FORMATS = ("table", "json", "yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is in controller.cli.commands.EXIT_CODES."""
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader left (`| head`). The interpreter would complain when it flushes stdout again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _main(argv: list[str]) -> int:
    top = _top_parser()
    front, word, rest = _split(argv)
    if word is None:
        top.parse_args(front)  # --help ends here
        top.print_help(sys.stderr)
        return USAGE
    if word == "help":
        if not rest:
            top.print_help()
            return OK
        word, rest = rest[0], ["--help"]
    known = {name: module for name, module, _ in COMMANDS}
    if word not in known:
        from controller.manifest.suggest import remedy

        sys.stderr.write(f"ringfence: there is no command {word!a}. {remedy(word, known)}\n")
        return USAGE
    module = importlib.import_module(known[word])
    parser = argparse.ArgumentParser(
        prog=f"ringfence {word}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",  # a command may widen a common option
    )
    _add_common(parser)
    module.declare(parser)
    parser.description = textwrap.fill(parser.description or "", _WIDTH)
    # Options before the command are options of the command.
    return _run(module.run, parser, parser.parse_args([*front, *rest]))


def _split(argv: list[str]) -> tuple[list[str], str | None, list[str]]:
    """(options before the command, the command, what follows)."""
    takes_value = {"--api", "-o", "--output"}
    index = 0
    while index < len(argv) and argv[index].startswith("-"):
        index += 2 if argv[index] in takes_value else 1
    if index >= len(argv):
        return argv, None, []
    return argv[:index], argv[index], argv[index + 1 :]


def _top_parser() -> argparse.ArgumentParser:
    width = max(len(name) for name, _, _ in COMMANDS)
    listed = "\n".join(f"  {name:<{width}}  {text}" for name, _, text in COMMANDS)
    codes = "\n".join(f"  {code:<{width}}  {text}" for code, text in EXIT_CODES)
    parser = argparse.ArgumentParser(
        prog="ringfence",
        usage="ringfence [options] COMMAND ...",
        description="Networks of tenants: declare them, see them, watch them.",
        epilog=(
            f"commands:\n{listed}\n\nexample:\n  ringfence apply -f examples/ --wait\n"
            f"  ringfence COMMAND --help   explains one command, with examples\n\nexit codes:\n{codes}"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--api",
        metavar="unix:PATH",
        default=os.environ.get("RINGFENCE_API") or "unix:/run/ringfence/api.sock",
        help="socket of the API (default: $RINGFENCE_API, else unix:/run/ringfence/api.sock)",
    )
    parser.add_argument("-o", "--output", choices=_FORMATS, default="table", help="form of the result")


def _run(
    command: Callable[[argparse.Namespace, Session], int],
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
) -> int:
    from controller.cli.client import Api, Refused, Unreachable, Wrong
    from controller.cli.faults import print_faults
    from controller.cli.session import standard

    try:
        session = standard(Api(arguments.api), arguments.output)
    except Wrong as error:
        parser.error(str(error))
    try:
        return command(arguments, session)
    except Wrong as error:
        parser.error(str(error))
    except Refused as error:
        print_faults(session, error.faults)
        if error.status == 503:
            return UNREACHABLE
        return FAILED if error.status >= 500 else REFUSED
    except Unreachable as error:
        sys.stderr.write(f"ringfence: {error}\n  {error.remedy}\n")
        return UNREACHABLE


if __name__ == "__main__":
    sys.exit(main())
