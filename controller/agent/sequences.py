"""Sequences: the highest mobility sequence that this host announced of each MAC and address, on disk before
it is said, so that no later life of the agent says a lower one (RFC 7432 section 7.7).

Place: between the loop and the speaker's client. The store has the sequence of each binding, but a restarted
agent speaks before the store has answered, and addresses of allowed pairs are counted by hosts alone. Must
not wait for the disk unless a sequence rises: then a host has taken something over, which is rare. A disk
that does not take it costs a line in the log, not the announcement.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from bgp.codec import nlri
from bgp.interest import Interest
from controller.agent import private
from controller.agent.effects import Speaker
from model.addresses import format_mac
from model.route import MacRoute, Route

LOG: Final = logging.getLogger(__name__)
MOST: Final = 50_000
"""MACs and addresses that are remembered: those that moved last."""
_LONGEST: Final = 200_000
"""Lines of the file before it is written anew."""


class Sequences:
    """A speaker that says nothing lower than before. `path`: the file, a line a rise: `KEY SEQUENCE`."""

    def __init__(self, speaker: Speaker, path: Path) -> None:
        self._speaker = speaker
        self._path = path
        self._known: dict[str, int] = {}
        self._lines = 0
        self._load()

    def announce(self, routes: Iterable[Route]) -> int:
        """With sequences that are at least those of before; the new ones are on disk when it returns."""
        said: list[Route] = []
        risen: dict[str, int] = {}
        for route in routes:
            key = _key(route)
            if key:
                highest = max(risen.get(key, 0), self._known.get(key, 0))
                sequence = max(route.attributes.sequence or 0, highest)
                if sequence > highest:
                    risen[key] = sequence
                if sequence != (route.attributes.sequence or 0):
                    route = replace(route, attributes=replace(route.attributes, sequence=sequence))
            said.append(route)
        if risen:
            self._keep(risen)
        return self._speaker.announce(said)

    def withdraw(self, routes: Iterable[Route]) -> int:
        """What is withdrawn stays remembered: it may come back."""
        return self._speaker.withdraw(routes)

    def eor(self) -> None:
        """See the speaker."""
        self._speaker.eor()

    def learn(self, interest: Interest, targets: tuple[bytes, ...] | None) -> None:
        """See the speaker."""
        self._speaker.learn(interest, targets)

    def _keep(self, risen: dict[str, int]) -> None:
        for key, sequence in risen.items():
            self._known.pop(key, None)  # the newest last
            self._known[key] = sequence
        for key in list(self._known)[: max(len(self._known) - MOST, 0)]:
            del self._known[key]
        try:
            if self._lines + len(risen) > _LONGEST:
                self._write_anew()
            else:
                self._append(risen)
        except OSError as error:
            LOG.error("mobility sequences not kept path=%s: %s", self._path, error)

    def _append(self, risen: dict[str, int]) -> None:
        with open(self._path, "a", encoding="ascii", opener=private.opener) as out:
            out.write("".join(f"{key} {sequence}\n" for key, sequence in risen.items()))
            out.flush()
            os.fsync(out.fileno())
        self._lines += len(risen)

    def _write_anew(self) -> None:
        part = self._path.with_suffix(".part")
        with open(part, "w", encoding="ascii", opener=private.opener) as out:
            out.write("".join(f"{key} {sequence}\n" for key, sequence in self._known.items()))
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, self._path)
        self._lines = len(self._known)

    def _load(self) -> None:
        """What can be read of it: a line that was cut short is passed over, and ended."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace")
            for line in text.splitlines():
                key, _, number = line.rpartition(" ")
                if key and number.isdecimal() and int(number) < 1 << 32:
                    self._known[key] = max(int(number), self._known.pop(key, 0))
            if text:
                self._write_anew()
        except FileNotFoundError:
            return
        except OSError as error:
            LOG.warning("mobility sequences not read path=%s: %s", self._path, error)


def _key(route: Route) -> str:
    """Network, MAC and address; empty for what has no sequence."""
    body = route.nlri
    rd = nlri.parse_distinguisher(body.rd) if isinstance(body, MacRoute) else None
    if not isinstance(body, MacRoute) or rd is None:
        return ""
    return f"{rd.local_id} {format_mac(body.mac)} {body.address or '-'}"
