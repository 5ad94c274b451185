"""Schedule: which faults follow each other, made of a seed. Pure.

Place: told to the driver of the torture test, and printed, so that a run can be made again. Must not know
what is broken already: the driver mends what stands in a fault's way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What is done; the numbers say how often, relative to each other."""

    AGENT = "agent", 18
    """kill -9 of a host's agent, started again after a while."""
    SWITCH = "switch", 5
    """kill -9 of a host's ovs-vswitchd: the only one that may cost bytes."""
    SPEAKER = "speaker", 6
    REFLECTOR = "reflector", 4
    MOVE = "move", 14
    """A port that sends and receives goes to another host."""
    CENTRE = "centre", 6
    """API, store or both are killed, and back after a while."""
    DISK = "disk", 6
    """The disk of a host's journal is full for a while."""
    CLOCK = "clock", 8
    """A host's wall clock is stepped, up to two hours to and fro."""
    CLASS = "class", 8
    """A prefix to which much is sent is given to another class, right behind what was sent before."""
    PREFIXES = "prefixes", 6
    """Classes get or lose prefixes to which nothing is sent."""
    LIMIT = "limit", 8
    """A port gets or loses a limit that it never reaches: the pass in which it is counted moves."""
    PEERING = "peering", 4
    ROUTE = "route", 4
    NAT = "nat", 4
    """A tenant is translated by a gateway, or no more."""
    FLOATING = "floating", 3
    EXTERNAL = "external", 2
    """Another external network comes, or goes."""

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def weight(self) -> int:
        return self.value[1]


PARTS: Final = ("api", "store", "both")
"""Of the centre."""
_LONGEST_STEP: Final = 7200.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`place`: of hosts, ports or reflectors, which one (modulo how many there are); `other`: the same for a
    second choice. `lasts`: seconds until it is mended; `pause`: until the next one begins; `step`: of the
    clock, seconds.
    """

    number: int
    kind: Kind
    place: int
    other: int
    lasts: float
    pause: float
    step: float


def schedule(seed: int, count: int) -> Iterator[Fault]:
    """`count` faults. The first ones are one of each kind, in some order."""
    chance = random.Random(seed)
    first = chance.sample(list(Kind), len(Kind))
    weights = [kind.weight for kind in Kind]
    for number in range(count):
        kind = first[number] if number < len(first) else chance.choices(list(Kind), weights)[0]
        yield Fault(
            number + 1,
            kind,
            chance.randrange(1 << 16),
            chance.randrange(1 << 16),
            round(chance.uniform(0.3, 6.0), 2),
            round(chance.uniform(0.1, 1.5), 2),
            round(
                chance.choice((-1, 1)) * chance.choice((1.0, 10.0, 600.0, _LONGEST_STEP)) * chance.random(), 3
            ),
        )
