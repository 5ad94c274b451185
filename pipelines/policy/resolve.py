"""Resolve: which ports an entry's selectors take, and at which addresses in which scopes.

Place: between entries and flows. Each selection is looked up once, however many rules name it. Must not know
matches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from model.addresses import Address, Prefix
from model.labels import Labels, selects
from model.masks import prefixes
from model.order import address_rank
from model.policy import Block, Endpoint, Selection, State, borne
from pipelines.policy.entries import Entry, concerns

Located = tuple[int, Address]
"""A scope, and an address in it."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Who may be at the other end. `located` sorted; `blocks` disjoint."""

    located: tuple[Located, ...]
    blocks: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """An entry in one state, for the local ports that have it so. `peers` None = everyone."""

    entry: Entry
    state: State
    subjects: tuple[Endpoint, ...]
    peers: Peers | None


@dataclass(frozen=True, slots=True)
class Directory:
    """All ports that could be at the other end, with their labels made ready."""

    known: tuple[tuple[Endpoint, Labels, Labels, Labels], ...]
    found: dict[Selection, tuple[Endpoint, ...]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint]) -> Directory:
        ordered = sorted(endpoints, key=lambda one: one.key)
        return cls(
            tuple(
                (
                    one,
                    borne(one.name, one.labels),
                    borne(one.network, one.network_labels),
                    borne(one.tenant, one.tenant_labels),
                )
                for one in ordered
            )
        )

    def members(self, peer: Selection) -> tuple[Endpoint, ...]:
        """The ports that it takes, of all tenants if it names none: then the subject says of which."""
        if peer not in self.found:
            self.found[peer] = tuple(
                one
                for one, own, network, tenant in self.known
                if selects(peer.ports, own)
                and selects(peer.networks, network)
                and (peer.tenants is None or selects(peer.tenants, tenant))
            )
        return self.found[peer]


_STATES: Final = (State.ENFORCE, State.COUNT)


def resolve(
    entries: Iterable[Entry], ports: Iterable[Endpoint], directory: Directory
) -> tuple[Resolved, ...]:
    """What of the entries concerns these local ports, in the order in which they judge: nothing of those
    that concern none, or whose peers are nobody."""
    local = sorted(ports, key=lambda one: one.key)
    found = []
    for entry in entries:
        subjects = [port for port in local if concerns(entry, port)]
        peers = _peers(entry, subjects, directory) if subjects else None
        if peers is not None and not peers.located and not peers.blocks:
            continue
        for state in _STATES:
            having = tuple(port for port in subjects if entry.at(port.uid) is state)
            if having:
                found.append(Resolved(entry, state, having, peers))
    return tuple(found)


def _peers(entry: Entry, subjects: Iterable[Endpoint], directory: Directory) -> Peers | None:
    if not entry.peers:
        return None
    tenants = {port.tenant for port in subjects}
    located: set[Located] = set()
    for peer in entry.peers:
        if isinstance(peer, Selection):
            for one in directory.members(peer):
                if peer.tenants is not None:
                    located.update((s, a) for s in (one.scope, *one.shown) for a in one.addresses)
                elif one.tenant in tenants:
                    located.update((one.scope, address) for address in one.addresses)
    blocks = prefixes(peer for peer in entry.peers if isinstance(peer, Block))
    return Peers(tuple(sorted(located, key=lambda one: (one[0], address_rank(one[1])))), blocks)
