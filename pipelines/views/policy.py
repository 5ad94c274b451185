"""Views of policy: a rule, a port as its peer, the local ports that it judges, as groups and each by itself.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from model.ids import PortKey, TenantKey, Uid
from model.intent import Network
from model.policy import Direction, State
from model.snapshot import Snapshot
from pipelines.index import Index
from pipelines.objects import Object
from pipelines.policed import Here, Policed
from pipelines.policy import seated
from pipelines.policy.matching import Reach
from pipelines.policy.seated import Located, Ruling, endpoint
from pipelines.sentence import Given

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
class GroupView:
    """Local ports that the very same rules judge. `epoch`: of all that judges them and is to judge anew,
    never 0. `rulings`: in the order in which they judge, with their states. `counts`: the directions in which
    something counts."""

    name: int
    epoch: int
    rulings: Given
    counts: frozenset[Direction]


@dataclass(frozen=True, slots=True)
class JudgedView:
    """A local port under policy. `group`: the name of those judged as it is. `zone`: of its connections,
    0 = none yet, so that nothing passes. `epoch`: that of its group. `counting`: the rules that count on it.
    `stray`: the one by which a frame for a MAC that has not its packet's destination ends, or only counts;
    None = nothing forbids it to send. `broadcasts`: the last addresses of its network's IPv4 subnets."""

    key: PortKey
    group: int
    ofport: int
    tenant: TenantKey
    zone: int
    epoch: int
    counting: tuple[Ruling, ...]
    stray: tuple[Ruling, State] | None = None
    broadcasts: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class DrainingView:
    """A local port that was under policy until just now. `zone`: of its connections then."""

    key: PortKey
    zone: int


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


def group_view(index: Index, subject: Object) -> GroupView | None:
    if subject.major not in index.policed.grouped.groups:
        return None
    said = index.policed.sentence(subject.major)
    return GroupView(subject.major, said.epoch, said.given, said.counts)


def judged_view(snapshot: Snapshot, index: Index, key: PortKey) -> JudgedView | None:
    group = index.policed.judged.get(key)
    if group is None:
        return None
    port, said = snapshot.ports[key], index.policed.sentence(group)
    network = snapshot.networks[port.network]
    return JudgedView(
        key=key,
        group=group,
        ofport=snapshot.interfaces[port.uid].ofport,
        tenant=network.tenant,
        zone=snapshot.zones.get(("policy", key), 0),
        epoch=said.epoch,
        counting=said.counting,
        stray=said.stray,
        broadcasts=tuple(_broadcasts(network)),
    )


def draining_view(snapshot: Snapshot, key: PortKey) -> DrainingView | None:
    zone = snapshot.zones.get(("draining", key), 0)
    return DrainingView(key, zone) if zone else None


def _broadcasts(network: Network) -> Iterator[IPv4Address]:
    """RFC 3021: of two addresses both are of hosts."""
    for subnet in network.subnets:
        if isinstance(subnet, IPv4Network) and subnet.prefixlen < _PAIRED:
            yield subnet.broadcast_address
