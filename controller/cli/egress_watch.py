"""`ringfence egress watch`: live rates, again and again, till q or Ctrl-C.

Place: GET /v1/usage/live at each refresh. In place on a terminal, a line a refresh elsewhere. Must leave the
terminal as it was. An API that goes away while somebody watches is said, and asked again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from controller.cli import egress_rates as rates
from controller.cli import paint
from controller.cli.client import Refused, Unreachable, Wrong
from controller.cli.commands import OK
from controller.cli.session import clean

if TYPE_CHECKING:
    from controller.cli.session import Session

FORMS: Final = ("table", "json")
_END_KEYS: Final = frozenset(b"qQ\x04")
_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The terminal's other screen, and no cursor (xterm's control sequences)."""
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST: Final = "\x1b[K"
_BELOW: Final = "\x1b[J"

Wait = Callable[[float], bool]
"""Waits for some seconds; True: the person wants to end."""
Show = Callable[[Any, str], None]
"""Shows an answer; the text says why there is none newer."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Live rates, refreshed in place on a terminal, a line a refresh elsewhere; -o json: an object a "
        "line. q or Ctrl-C ends it. A host of which nothing has come lately is named as silent, with its age."
    )
    parser.epilog = (
        "examples:\n  ringfence egress watch\n  ringfence egress watch --tenant blue --by port,class\n"
        "  ringfence egress watch --interval 10 --count 6 -o json"
    )
    rates.declare(parser)
    parser.add_argument(
        "--interval", metavar="S", type=float, default=2.0, help="seconds between refreshes (default: 2)"
    )
    parser.add_argument("--count", metavar="N", type=int, help="end after N refreshes (default: never)")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0 when the person, or --count, ends it."""
    if not 0.2 <= arguments.interval <= 86_400:
        raise Wrong("--interval is a number of seconds from 0.2 to 86400")
    if arguments.count is not None and arguments.count < 1:
        raise Wrong("--count is a number of refreshes from 1")
    query = rates.question(arguments)
    first = session.api.get("/v1/usage/live", query)  # before the screen changes: what is wrong is said below
    try:
        with _ended_by_sigterm():
            if session.form == "json":
                _watch(arguments, session, query, first, _pause, lambda f, fault: _line(session, f, fault))
            elif session.out.isatty() and sys.stdin.isatty():
                with _screen(session) as wait:
                    _watch(arguments, session, query, first, wait, lambda f, fault: _paint(session, f, fault))
            else:
                _watch(arguments, session, query, first, _pause, lambda f, fault: _say(session, f, fault))
    except KeyboardInterrupt:
        pass
    return OK


def _watch(
    arguments: argparse.Namespace, session: Session, query: dict[str, Any], found: Any, wait: Wait, show: Show
) -> None:
    """Show, wait, ask; the last answer stays while there is none."""
    fault, shown, due = "", 0, time.monotonic()
    while True:
        show(found, fault)
        shown += 1
        if shown == arguments.count:
            return
        due = max(due + arguments.interval, time.monotonic())
        if wait(max(0.0, due - time.monotonic())):
            return
        try:
            found, fault = session.api.get("/v1/usage/live", query), ""
        except Unreachable as error:
            fault = str(error)
        except Refused as error:
            if error.status < 500:
                raise
            fault = "; ".join(str(each.get("message", "")) for each in error.faults)


def _line(session: Session, found: Any, fault: str) -> None:
    """An object a line; none while there is no answer."""
    if fault:
        session.note(f"no answer: {fault}")
        return
    session.out.write(json.dumps(found, separators=(",", ":")) + "\n")
    session.out.flush()


def _say(session: Session, found: Any, fault: str) -> None:
    if fault:
        session.note(f"no answer: {fault}")
        return
    session.line(rates.brief(found))
    session.out.flush()


def _paint(session: Session, found: Any, fault: str) -> None:
    """The whole screen; what does not fit is cut."""
    text = io.StringIO()
    paint.table(text, "", rates.heads(found), rates.rows(found))
    above = [rates.title(found), *([f"no answer, this is old: {fault}"] if fault else []), ""]
    width, height = shutil.get_terminal_size()
    below = ["", *rates.notes(found)[: max(1, height // 2 - len(above))], "q ends"]
    table = text.getvalue().splitlines()
    room = max(2, height - len(above) - len(below))
    if len(table) > room:
        # The total stays; the slowest rows go.
        table = [*table[: room - 1], table[-1]]
    shown = [clean(line)[:width] for line in (*above, *table, *below)][:height]
    session.out.write(_HOME + f"{_REST}\n".join(shown) + _REST + _BELOW)
    session.out.flush()


@contextmanager
def _screen(session: Session) -> Iterator[Wait]:
    """The terminal's other screen, with keys that come one at a time and are not shown."""
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys)
        session.out.write(_ENTER)
        session.out.flush()
        yield lambda seconds: _key(keys, seconds)
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        session.out.write(_LEAVE)
        session.out.flush()


def _key(keys: int, seconds: float) -> bool:
    """Whether an ending key is pressed within so many seconds; other keys end nothing."""
    end = time.monotonic() + seconds
    while True:
        left = max(0.0, end - time.monotonic())
        if not select.select([keys], [], [], left)[0]:
            return False
        pressed = os.read(keys, 64)
        if not pressed or _END_KEYS & set(pressed):
            return True


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, so that the terminal is given back."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
