"""The relay's memory: what the agent announces, and what each peer has said, as bytes, bounded.

Place: inside the relay; pure bookkeeping. All that a peer says is kept; what concerns the agent
(`bgp.interest`) is told. Must not judge a route or decode one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from bgp.codec import nlri
from bgp.codec.update import Parts, join
from bgp.interest import Interest, is_readable, narrow

_GROUP = 40
"""NLRIs in one replayed UPDATE at most: well under the 4,096 octets of a message."""

Hung = tuple[bytes, bytes]
"""Next hop and the other path attributes, which routes share."""
_NUMBER = 4
"""Octets at the end of a kept route: the number of what it hangs on. The NLRI and they are one object: of
150,000 routes, each object more is nine megabytes."""


class Told(Enum):
    """What the agent hears of a route that came."""

    ANNOUNCED = "announced"
    WITHDRAWN = "withdrawn"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Announced:
    """A route of the agent: NLRI, next hop (4 or 16 octets) and path attributes."""

    raw: bytes
    hop: bytes
    fields: bytes


@dataclass(slots=True)
class Outgoing:
    """What the agent announces. `stale`: not repeated since the agent said `begin`."""

    limit: int
    routes: dict[bytes, Announced] = field(default_factory=dict)
    stale: set[bytes] = field(default_factory=set)
    unsent: dict[bytes, Announced | bytes] = field(default_factory=dict)
    """Key -> the route to announce, or the NLRI to withdraw: what ExaBGP was not told yet."""
    complete: bool = False
    """The agent has said that its routes are all there."""

    def begin(self) -> None:
        """An agent is about to say everything again."""
        self.stale = set(self.routes)

    def announce(self, route: Announced) -> bool:
        """File a route; False if there is no room."""
        key = nlri.key(route.raw)
        self.stale.discard(key)
        if self.routes.get(key) == route:
            return True
        if key not in self.routes and len(self.routes) >= self.limit:
            return False
        self.routes[key] = self.unsent[key] = route
        return True

    def withdraw(self, raw: bytes) -> None:
        """Take a route out, if it is there."""
        key = nlri.key(raw)
        self.stale.discard(key)
        if self.routes.pop(key, None) is not None:
            self.unsent[key] = raw

    def finish(self) -> int:
        """The agent has said everything: withdraw what it did not repeat; returns how many that were."""
        gone = sorted(self.stale)
        for key in gone:
            self.withdraw(self.routes[key].raw)
        self.complete = True
        return len(gone)

    def again(self) -> None:
        """A new ExaBGP knows nothing: all is unsent."""
        self.unsent = dict(self.routes)


@dataclass(slots=True)
class Incoming:
    """What one peer has said in this session: route key -> NLRI and the number of what it hangs on."""

    limit: int
    routes: dict[bytes, bytes] = field(default_factory=dict)
    hung: list[Hung] = field(default_factory=list)
    """By number."""
    numbers: dict[Hung, int] = field(default_factory=dict)
    verdicts: dict[int, bool] = field(default_factory=dict)
    """Number -> whether the attributes concern the agent."""
    ended: bool = False
    malformed: int = 0
    """Updates that could not be cut up."""
    over: int = 0
    """Routes not kept for lack of room."""

    def take(self, parts: Parts, interest: Interest | None) -> bytes | None:
        """File an UPDATE; the body of what of it concerns the agent, None if nothing does.

        What can't be read is not kept, but told: the agent counts it. A route that no longer concerns it is
        withdrawn there, one that never did is not mentioned.
        """
        unreach = tuple(raw for raw in parts.gone if self._drop(raw, interest))
        fresh = parts.fresh
        if fresh:
            number = self._number((parts.next_hop, parts.rest))
            told = [(raw, self._keep(raw, number, interest)) for raw in fresh]
            reach = tuple(raw for raw, how in told if how is Told.ANNOUNCED)
            unreach += tuple(raw for raw, how in told if how is Told.WITHDRAWN)
        else:
            reach = ()
        if len(self.hung) > 2 * len(self.routes) + 1024:
            self._renumber()
        self.ended = self.ended or parts.end_of_rib
        return narrow(parts, reach, unreach)

    def look_again(self) -> None:
        """The agent's interest is another."""
        self.verdicts.clear()

    def replay(self, targets: frozenset[bytes] | None, interest: Interest | None) -> Iterator[bytes]:
        """Bodies of UPDATEs with what is there now and concerns the agent, or bears one of `targets`; the
        routes may change while it runs."""
        wanted = interest if targets is None else Interest(targets)
        verdicts: dict[bytes, bool] = {}
        group: list[bytes] = []
        shared: tuple[bytes, bytes] = (b"", b"")
        for key in list(self.routes):
            found = self.routes.get(key)
            if found is None:
                continue
            raw, number = _cut(found)
            hop, rest = self.hung[number]
            if wanted is not None:
                verdict = verdicts.get(rest)
                if verdict is None:
                    verdict = verdicts[rest] = wanted.attributes(rest)
                if not verdict and not wanted.label(raw):
                    continue
            if group and ((hop, rest) != shared or len(group) == _GROUP):
                yield join(Parts(reach=tuple(group), next_hop=shared[0], rest=shared[1]))
                group = []
            shared = (hop, rest)
            group.append(raw)
        if group:
            yield join(Parts(reach=tuple(group), next_hop=shared[0], rest=shared[1]))
        if self.ended and targets is None:
            yield join(Parts(end_of_rib=True))

    def _drop(self, raw: bytes, interest: Interest | None) -> bool:
        """Take a route out; whether the agent may know it."""
        if not is_readable(raw):
            return True
        old = self.routes.pop(nlri.key(raw), None)
        return interest is None or self._known(old, interest)

    def _keep(self, raw: bytes, number: int, interest: Interest | None) -> Told:
        """File a route."""
        if not is_readable(raw):
            return Told.ANNOUNCED
        key = nlri.key(raw)
        old = self.routes.get(key)
        if old is None and len(self.routes) >= self.limit:
            self.over += 1
            return Told.NOT
        self.routes[key] = raw + number.to_bytes(_NUMBER, "big")
        if interest is None or self._concerns(number, interest) or interest.label(raw):
            return Told.ANNOUNCED
        return Told.WITHDRAWN if self._known(old, interest) else Told.NOT

    def _known(self, old: bytes | None, interest: Interest) -> bool:
        if old is None:
            return False
        raw, number = _cut(old)
        return self._concerns(number, interest) or interest.label(raw)

    def _concerns(self, number: int, interest: Interest) -> bool:
        verdict = self.verdicts.get(number)
        if verdict is None:
            verdict = self.verdicts[number] = interest.attributes(self.hung[number][1])
        return verdict

    def _number(self, hung: Hung) -> int:
        found = self.numbers.get(hung)
        if found is None:
            found = self.numbers[hung] = len(self.hung)
            self.hung.append(hung)
        return found

    def _renumber(self) -> None:
        """Forget what no route hangs on any more."""
        before = self.hung
        self.hung, self.numbers = [], {}
        self.verdicts.clear()
        for key, kept in self.routes.items():
            raw, number = _cut(kept)
            self.routes[key] = raw + self._number(before[number]).to_bytes(_NUMBER, "big")


def _cut(kept: bytes) -> tuple[bytes, int]:
    """NLRI, and the number of what it hangs on."""
    return kept[:-_NUMBER], int.from_bytes(kept[-_NUMBER:], "big")
