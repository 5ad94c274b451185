"""What hosts saw of rules, put together: of each rule and port, when it was watched and what it would have
dropped.

Place: under `controller.api.promoting` and `controller.api.policy_status`; words come from the reports and
are text of others. Pure. Must not believe a host about a port that may not be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controller.store.records import Contents, PortRecord
from controller.store.words import Word
from model.evidence import Amount, HostEvidence, RuleName, parse
from model.ids import HostName, Uid
from pipelines.policy.promotion import Span

QUIET_MS: Final = 300_000
"""A host speaks of its rules every minute; one whose word is older may not be watching any more."""
_NONE: Final = Amount()


Watched = tuple[Span, frozenset[Uid]]


@dataclass(frozen=True, slots=True)
class AtPort:
    """What hit a rule at a port, of all hosts."""

    hits: Amount = _NONE
    last: int = 0
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfRule:
    """Of a rule at all ports. `watches`: when it was watched, each with the ports; those of one host may be
    the same objects for many rules. `ports`: those that were hit. `rest`: hits at further ports that no word
    has room to name."""

    enforced: Amount = _NONE
    counted: Amount = _NONE
    watches: list[Watched] = field(default_factory=list)
    ports: Mapping[Uid, AtPort] = field(default_factory=dict)
    rest_ports: int = 0
    rest: Amount = _NONE
    last: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """`rules`: those asked for of which something is said. `fresh`: hosts that speak; `broken`: of the others
    those whose words can't be read."""

    rules: Mapping[RuleName, OfRule]
    fresh: frozenset[HostName]
    broken: frozenset[HostName] = frozenset()

    def of(self, rule: RuleName) -> OfRule:
        """Nothing, if nothing is known."""
        return self.rules.get(rule, _NOTHING)

    def spans(self, rule: RuleName) -> dict[Uid, tuple[Span, ...]]:
        """When each port was watched."""
        found: dict[Uid, tuple[Span, ...]] = {}
        for span, ports in self.of(rule).watches:
            alone = (span,)
            for port in ports:
                found[port] = alone if port not in found else (*found[port], span)
        return found


NOWHERE: Final = AtPort()
_NOTHING: Final = OfRule()


def gather(
    words: Iterable[Word],
    contents: Contents,
    ports: Mapping[Uid, PortRecord],
    rules: frozenset[RuleName],
    now: int,
) -> Seen:
    """Of some rules and ports. `now`: Unix ms."""
    found: dict[RuleName, OfRule] = {}
    fresh: set[HostName] = set()
    broken: set[HostName] = set()
    homes: dict[HostName, set[Uid]] = {}
    for uid, record in ports.items():
        for home in record.value.hosts:
            homes.setdefault(home, set()).add(uid)
    for word in words:
        host = HostName(word.name)
        if host not in contents.hypervisors:
            continue
        try:
            said = parse(word.text)
        except ValueError:
            broken.add(host)
            continue
        if now - word.stamp <= QUIET_MS:
            fresh.add(host)
        _add(found, said, frozenset(homes.get(host, ())), rules)
    return Seen(found, frozenset(fresh), frozenset(broken))


def _add(
    found: dict[RuleName, OfRule], said: HostEvidence, mine: frozenset[Uid], rules: frozenset[RuleName]
) -> None:
    for seen in said.rules:
        if seen.rule in rules:
            had = found.get(seen.rule, _NOTHING)
            found[seen.rule] = replace(
                had,
                enforced=had.enforced.plus(seen.enforced),
                counted=had.counted.plus(seen.counted),
                watches=list(had.watches),
                ports=dict(had.ports),
            )
    for watch in said.watches:
        one = Span(watch.since, watch.until), mine.intersection(watch.ports)
        for rule in watch.rules:
            if rule in found:
                found[rule].watches.append(one)
    for hit in said.hits:
        if hit.rule in found and hit.port in mine:
            at = found[hit.rule].ports.get(hit.port, NOWHERE)
            more = replace(
                at,
                hits=at.hits.plus(hit.amount),
                last=max(at.last, hit.last),
                samples=(*at.samples, *hit.samples),
            )
            _put(found[hit.rule], hit.port, more)
            found[hit.rule] = replace(found[hit.rule], last=max(found[hit.rule].last, hit.last))
    for rest in said.rest:
        if rest.rule in found:
            had = found[rest.rule]
            found[rest.rule] = replace(
                had,
                rest_ports=had.rest_ports + rest.ports,
                rest=had.rest.plus(rest.amount),
                last=max(had.last, rest.last),
            )


def _put(rule: OfRule, port: Uid, at: AtPort) -> None:
    assert isinstance(rule.ports, dict)  # made by _add for this
    rule.ports[port] = at
