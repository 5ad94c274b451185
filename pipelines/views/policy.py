"""Views of policy: a rule, a port as its peer, a local port that it judges.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from model.ids import PortKey, TenantKey, Uid
from model.intent import Network
from model.policy import Change, Direction, State
from model.snapshot import Snapshot
from pipelines.index import Index
from pipelines.objects import Object
from pipelines.policed import Here, Policed
from pipelines.policy import seated
from pipelines.policy.matching import Reach
from pipelines.policy.seated import Located, Ruling, endpoint
from pipelines.strict import forbids

Given = tuple[tuple[Ruling, State], ...]
_PAIRED: Final = 31


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule that judges a local port, and what of it is needed here."""

    ruling: Ruling
    here: Here


@dataclass(frozen=True, slots=True)
class MemberView:
    """A port as a peer: of each rule here that takes it, where it is found."""

    key: PortKey
    of: tuple[tuple[RuleView, tuple[Located, ...]], ...]


@dataclass(frozen=True, slots=True)
class JudgedView:
    """A local port under policy. `zone`: of its connections, 0 = none yet, so that nothing passes. `epoch`:
    of all that judges it and is to judge anew, never 0. `rulings`: in the order in which they judge, with
    the states that they have here. `counts`: the directions in which something counts. `stray`: the one by
    which a frame for a MAC that has not its packet's destination ends, or only counts; None = nothing forbids
    the port to send. `broadcasts`: the last addresses of its network's IPv4 subnets."""

    key: PortKey
    ofport: int
    tenant: TenantKey
    zone: int
    epoch: int
    rulings: tuple[tuple[Ruling, State], ...]
    counts: frozenset[Direction]
    stray: tuple[Ruling, State] | None = None
    broadcasts: tuple[IPv4Address, ...] = ()


def rule_view(index: Index, subject: Object) -> RuleView | None:
    return _rule(index.policed, (subject.major, Uid(subject.name)))


def _rule(policed: Policed, key: seated.RulingKey) -> RuleView | None:
    ruling, here = policed.rules.get(key), policed.here.get(key)
    return None if ruling is None or here is None else RuleView(ruling, here)


def member_view(snapshot: Snapshot, index: Index, key: PortKey) -> MemberView | None:
    one = endpoint(snapshot, key) if index.policed.here else None
    if one is None:
        return None
    found = []
    for rule, reach in sorted(index.policed.takers(one).items()):
        shown = _rule(index.policed, rule)
        assert shown is not None  # takers are rules here
        places = seated.owned(snapshot, key)
        if reach is Reach.SHOWN:
            places += seated.shown(snapshot, key)
        found.append((shown, places))
    return MemberView(key, tuple(found)) if found else None


def judged_view(snapshot: Snapshot, index: Index, key: PortKey) -> JudgedView | None:
    states = index.policed.judged.get(key)
    if states is None:
        return None
    port = snapshot.ports[key]
    rulings = sorted((index.policed.rules[rule] for rule in states), key=Ruling.order)
    given = tuple((ruling, states[ruling.key]) for ruling in rulings)
    network = snapshot.networks[port.network]
    return JudgedView(
        key=key,
        ofport=snapshot.interfaces[port.uid].ofport,
        tenant=network.tenant,
        zone=snapshot.zones.get(("policy", key), 0),
        epoch=_epoch(index.policed, given),
        rulings=given,
        counts=frozenset(d for d in Direction if index.policed.counts(key, d)),
        stray=_stray(given),
        broadcasts=tuple(_broadcasts(network)),
    )


def _stray(rulings: Given) -> tuple[Ruling, State] | None:
    """The last one that is enforced, or, if none is, that counts (`pipelines.policy.verdict.stray`)."""
    denies = [one for one in rulings if forbids(one[0])]
    real = [one for one in denies if one[1] is State.ENFORCE]
    return (real or denies or (None,))[-1]


def _broadcasts(network: Network) -> Iterator[IPv4Address]:
    """RFC 3021: of two addresses both are of hosts."""
    for subnet in network.subnets:
        if isinstance(subnet, IPv4Network) and subnet.prefixlen < _PAIRED:
            yield subnet.broadcast_address


def _epoch(policed: Policed, rulings: Given) -> int:
    """Of meanings, their order and who is meant: not of numbers and heights, which may change for nothing."""
    told = [
        (ruling.entry.identity, state.value, policed.digests[ruling.key])
        for ruling, state in rulings
        if ruling.on_change is Change.JUDGE
    ]
    digest = blake2b(repr(told).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") or 1
