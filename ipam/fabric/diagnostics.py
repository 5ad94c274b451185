"""Diagnostics: what ports and the subnet manager themselves say.

Place: reads for `opensm`: ports by `reading`, managers with infiniband-diags, a program for each question
(decision 0033); nothing is changed. Must not guess at an answer: what can't be parsed is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ipam.fabric import programs
from ipam.fabric.managers import Seen, parse_known, parse_master, parse_offering
from ipam.fabric.reading import read
from ipam.fabric.tables import parse_table
from model.fabric import Guid

_T = TypeVar("_T")
_AT_ONCE: Final = 4
"""Programs under way: each holds an agent of the local port, and the wire takes few at a time."""
_LIMIT: Final = 10.0
"""Seconds for a program; they try a port three times for a second each."""
_MOST: Final = 1 << 20
_OFFERS: Final = 8
"""Ports of a round that are asked for a manager and did not name one yet: any host may say that it has one,
and who says nothing more costs seconds."""


@dataclass(slots=True)
class Offers:
    """Which of the ports that claim a manager are asked next. `heard`: those where one answered last time."""

    heard: set[int] = field(default_factory=set)
    last: int = 0

    def next(self, lids: tuple[int, ...]) -> tuple[int, ...]:
        """All that answered, and the next few of the others, by LID, from where the last turn ended."""
        others = sorted(
            (lid for lid in lids if lid not in self.heard), key=lambda lid: (lid <= self.last, lid)
        )
        turn = others[:_OFFERS]
        self.last = turn[-1] if turn else 0
        return (*(lid for lid in lids if lid in self.heard), *turn)


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """`device`: arguments that choose the local port, such as ("-C", "mlx5_0", "-P", "1").

    `environment`: added to this process' own. `directory`: where the programs run. `lids`: where ports were
    when they last answered: what is not right any more costs a question, and is never believed.
    """

    device: tuple[str, ...] = ()
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    lids: dict[Guid, int] = field(default_factory=dict, compare=False, repr=False)
    offers: Offers = field(default_factory=Offers, compare=False, repr=False)

    def table(self, guid: Guid) -> tuple[int, ...] | None:
        """A port's table of partition keys, from the port, by smpquery; None = no answer."""
        return _parsed(parse_table, self._ask("smpquery", *self.device, "-G", "pkeys", f"0x{guid:016x}"))

    def tables(self, guids: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
        """Those of many ports, by one process; without libibumad by one of smpquery each."""
        asked = sorted(set(guids))
        found = read(asked, self.lids, self.device, self.environment, self.directory)
        if found is not None:
            return found
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(asked, pool.map(self.table, asked), strict=True))

    def managers(self) -> tuple[Seen, ...] | None:
        """The master that this port obeys, all that it knows, and those who answer at ports that say they
        have one, each once: a master may take long to know another. None = no answer from the master. Of many
        ports that offer one and do not answer, some are asked at a time, in turn.
        """
        master = _parsed(parse_master, self._ask("sminfo", *self.device))
        known = _parsed(parse_known, self._ask("saquery", *self.device, "SMIR"))
        lids = _parsed(parse_offering, self._ask("saquery", *self.device, "-s"))
        if master is None or known is None or lids is None:
            return None
        asked = self._offered(lids)
        # What one says of itself is newer than what the master has heard.
        heard = {each.guid: each for each in (*known, *(each for each in asked if each is not None), master)}
        return tuple(heard[guid] for guid in sorted(heard))

    def _offered(self, lids: tuple[int, ...]) -> list[Seen | None]:
        turn = self.offers.next(lids)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._offer, turn))
        self.offers.heard = {lid for lid, seen in zip(turn, found, strict=True) if seen is not None}
        return found

    def _offer(self, lid: int) -> Seen | None:
        return _parsed(parse_master, self._ask("sminfo", *self.device, str(lid)))

    def _ask(self, *command: str) -> str | None:
        """What it prints; None if it fails, hangs, says too much or is missing."""
        told = programs.run(command, "", self.environment, self.directory, _LIMIT)
        if told is None or told.code != 0 or len(told.text) > _MOST:
            return None
        return told.text


def _parsed(parse: Callable[[str], _T], text: str | None) -> _T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        return None
