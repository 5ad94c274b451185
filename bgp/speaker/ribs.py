"""The relay's memory: what the agent announces, and what each peer has said, as bytes, bounded.

Place: inside the relay; pure bookkeeping. Must not judge a route or read its attributes, but for the route
targets that a replay asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bgp.codec import communities, nlri
from bgp.codec.attributes import EXTENDED_COMMUNITIES
from bgp.codec.attributes import split as split_attributes
from bgp.codec.malformed import Malformed
from bgp.codec.update import Parts, join

_GROUP = 40
"""NLRIs in one replayed UPDATE at most: well under the 4,096 octets of a message."""


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
    """What one peer has said in this session: route key -> (NLRI, next hop, other attributes)."""

    limit: int
    routes: dict[bytes, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    shared: dict[bytes, bytes] = field(default_factory=dict)
    """One copy of equal attributes."""
    ended: bool = False
    malformed: int = 0
    """Updates that could not be cut up."""
    over: int = 0
    """Routes not kept for lack of room."""

    def take(self, parts: Parts) -> None:
        """File an UPDATE. What can't be read is not kept: the agent, who got the bytes, counts it."""
        for key, _ in _readable(parts.unreach):
            self.routes.pop(key, None)
        rest = self.shared.setdefault(parts.rest, parts.rest)
        for key, raw in _readable(parts.reach):
            if key not in self.routes and len(self.routes) >= self.limit:
                self.over += 1
                continue
            self.routes[key] = (raw, parts.next_hop, rest)
        if len(self.shared) > 2 * len(self.routes) + 1024:
            self.shared = {one[2]: one[2] for one in self.routes.values()}
        self.ended = self.ended or parts.end_of_rib

    def replay(self, targets: frozenset[bytes] | None) -> Iterator[bytes]:
        """Bodies of UPDATEs with what is there now; the routes may change while it runs."""
        verdicts: dict[bytes, bool] = {}
        group: list[bytes] = []
        shared: tuple[bytes, bytes] = (b"", b"")
        for key in list(self.routes):
            found = self.routes.get(key)
            if found is None:
                continue
            raw, hop, rest = found
            if targets is not None and not verdicts.setdefault(rest, bool(targets & _targets(rest))):
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


def _readable(raws: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    for raw in raws:
        try:
            nlri.decode(raw)
        except Malformed:
            continue
        yield nlri.key(raw), raw


def _targets(rest: bytes) -> frozenset[bytes]:
    try:
        for one in split_attributes(rest):
            if one.code == EXTENDED_COMMUNITIES:
                return frozenset(communities.decode(one.value).route_targets)
    except Malformed:
        pass  # a route that can't be read has no targets to be asked by
    return frozenset()
