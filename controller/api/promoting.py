"""Promoting: rules and defaults that count are enforced, if the evidence that was asked for is there.

Place: builds the plan for `controller.api.service`; `pipelines.policy.promotion` weighs. Pure. Must not
enforce what nobody named, but for companions of the same owner, without which other packets would be dropped
than were predicted; and never a rule of the operator's for a tenant's sake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from controller.api import seen
from controller.api.ground import Ground, survey
from controller.api.seen import Seen
from controller.manifest.suggest import remedy
from controller.store.records import Contents
from controller.store.words import Word
from ipam.plan import plan
from ipam.steps import Plan
from model.errors import Conflict, Fault, Invalid, NotFound
from model.ids import HostName, Uid
from model.policy import Direction, State
from model.wanted import Kind, Reference, Wanted, WantedPolicy, WantedTenant, title
from pipelines.policy import promotion
from pipelines.policy.entries import Entry, Place
from pipelines.policy.promotion import Weighed, Witness, companions, promote, promote_tenants, weigh

SHOWN_HITS: Final = 1_000
_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """`policy` empty: the defaults of the tenant itself. `tenant` None: a policy of the operator's. `rules`:
    by number or name. Neither `rules` nor `defaults`: all that counts. `hours` of evidence on every port;
    `share`: percent; `accepted`: packets that may be dropped of each rule, None = as many as there are."""

    tenant: str | None
    policy: str
    rules: tuple[str, ...] = ()
    defaults: tuple[Direction, ...] = ()
    hours: float = 24.0
    share: int = 100
    accepted: int | None = 0


class Promotion:
    """One of them. `words`: what hosts say of rules; `now`: Unix ms."""

    def __init__(self, asked: Asked, words: Iterable[Word], now: int, new_uid: Callable[[], Uid]) -> None:
        self._asked, self._words, self._now, self._new_uid = asked, tuple(words), now, new_uid
        self._told: dict[str, Any] = {}

    def told(self) -> dict[str, Any]:
        """What the last plan would do and drop; nothing if there was none."""
        return self._told

    def plan(self, contents: Contents) -> Plan:
        """NotFound, Invalid: no such policy or rule. Conflict: what is missing, all of it at once."""
        asked = self._asked
        _check(contents, asked)
        ground = survey(contents, asked.tenant)
        named = _chosen(ground, asked)
        chosen, taken = _with_companions(ground, named, asked)
        names = frozenset(ground.names[one] for one in chosen)
        found = seen.gather(self._words, contents, ground.ports, names, self._now)
        weighed = list(_weigh(ground, chosen, found, asked))
        faults = [fault for one in weighed for fault in one.faults]
        faults += _unlisted(ground, chosen, found, asked, faults)
        faults += _silent(contents, ground, chosen, found)
        if faults:
            raise Conflict(*_bounded(asked, faults))
        self._told = _told(ground, named, taken, weighed, asked)
        wanted = tuple(_wanted(ground, chosen, asked.share))
        return plan(contents, wanted, self._now, self._new_uid, 0)


def _bounded(asked: Asked, faults: Sequence[Fault]) -> Iterator[Fault]:
    """Of companions of others there may be thousands: the first ones, and how many there are."""
    others = [fault for fault in faults if fault.rule == "promotion-companion"]
    yield from (fault for fault in faults if fault.rule != "promotion-companion")
    yield from others[:_NAMED]
    if len(others) > _NAMED:
        message = f"{len(others) - _NAMED} more rules of others count, and have to do with what it drops"
        yield Fault(_owner(asked), "promotion-companion", message, "Promote them before it.")


def _check(contents: Contents, asked: Asked) -> None:
    if asked.tenant is not None and asked.tenant not in contents.tenants:
        raise NotFound(_missing(Reference(Kind.TENANT, asked.tenant)))
    if asked.policy:
        kind = Kind.OPERATOR_POLICY if asked.tenant is None else Kind.SECURITY_POLICY
        reference = Reference(kind, asked.policy, asked.tenant)
        if contents.find(reference) is None:
            raise NotFound(_missing(reference))


def _missing(reference: Reference) -> Fault:
    return Fault(title(reference), "not-found", "it does not exist", "See those that exist: ringfence get.")


def _chosen(ground: Ground, asked: Asked) -> frozenset[Place]:
    """What was named; Invalid for a rule that is not there."""
    known = _places(ground, asked)
    if not asked.rules and not asked.defaults:
        counting = frozenset(e.place for e in ground.every() if e.place in known and _counts(ground, e))
        if not counting:
            advice = "See what its rules do, and which ports it selects: ringfence policy status."
            raise Conflict(
                Fault(_owner(asked), "promotion-of-nothing", "nothing of it counts at any port", advice)
            )
        return counting
    found: set[Place] = set()
    for word in asked.rules:
        mine = [one for one in known if one.number and word in (str(one.number), one.name)]
        if not mine:
            names = [one.name or str(one.number) for one in known if one.number]
            raise Invalid(_unknown(asked, f"rule {word!a}", remedy(word, names)))
        found.update(mine)
    for direction in asked.defaults:
        mine = [one for one in known if not one.number and one.direction is direction]
        if not mine:
            said = [one.direction.value for one in known if not one.number]
            advice = f"It has: {', '.join(said)}." if said else "It has none."
            raise Invalid(_unknown(asked, f"default {direction.value}", advice))
        found.update(mine)
    return frozenset(found)


def _unknown(asked: Asked, what: str, advice: str) -> Fault:
    return Fault(_owner(asked), "promotion-unknown", f"it has no {what}", advice)


def _owner(asked: Asked) -> str:
    if not asked.policy:
        return f"Tenant {asked.tenant}"
    kind = Kind.OPERATOR_POLICY if asked.tenant is None else Kind.SECURITY_POLICY
    return title(Reference(kind, asked.policy, asked.tenant))


def _places(ground: Ground, asked: Asked) -> list[Place]:
    if not asked.policy:
        return [e.place for e in ground.every() if not e.place.policy and e.place.tenant == asked.tenant]
    owner = asked.tenant or ""
    return [e.place for e in ground.every() if (e.place.tenant, e.place.policy) == (owner, asked.policy)]


def _counts(ground: Ground, entry: Entry) -> bool:
    return any(entry.at(port) is State.COUNT for port in ground.selected[entry.place])


def _with_companions(
    ground: Ground, named: frozenset[Place], asked: Asked
) -> tuple[frozenset[Place], tuple[Place, ...]]:
    """What is enforced together, and what of it nobody named."""
    chosen, taken = named, list[Place]()
    while True:
        more = [
            other.place
            for direction in Direction
            for _, other in companions(_judging(ground, chosen, direction), chosen, asked.share)
            if other.place.tenant == (asked.tenant or "")
        ]
        new = [one for one in dict.fromkeys(more) if one not in chosen]
        if not new:
            return chosen, tuple(taken)
        taken += new
        chosen |= frozenset(new)


def _judging(ground: Ground, chosen: frozenset[Place], direction: Direction) -> list[Entry]:
    """What is chosen, and what may have to go with it: whatever counts at some port."""
    return [
        e
        for e in ground.entries[direction]
        if e.place in chosen or (not e.enforced_everywhere() and _counts(ground, e))
    ]


def _weigh(ground: Ground, chosen: frozenset[Place], found: Seen, asked: Asked) -> Iterator[Weighed]:
    wanted = promotion.Asked(timedelta(hours=asked.hours), asked.share, asked.accepted)
    for direction in Direction:
        here = frozenset(one for one in chosen if one.direction is direction)
        if here:
            entries = _judging(ground, chosen, direction)
            evidence = list(_witnesses(ground, [e for e in entries if e.place in here], found))
            yield weigh(entries, here, ground.selected, evidence, wanted, ground.title)


def _witnesses(ground: Ground, entries: Sequence[Entry], found: Seen) -> Iterator[Witness]:
    """Two rules of one meaning are one: both are as well known as the one that is known less, and hit what
    either hit."""
    known: dict[tuple[str, Uid], Witness] = {}
    for entry in entries:
        name = ground.names[entry.place]
        spans, hit = found.spans(name), found.of(name).ports
        for port in ground.selected[entry.place]:
            at = hit.get(port, seen.NOWHERE)
            one = Witness(entry.identity, port, spans.get(port, ()), at.hits.packets, at.samples)
            other = known.get((entry.identity, port))
            if other is not None:
                least = min(one, other, key=promotion.covered)
                one = replace(least, hits=one.hits + other.hits, samples=(*one.samples, *other.samples))
            known[entry.identity, port] = one
    yield from known.values()


def _unlisted(
    ground: Ground, chosen: frozenset[Place], found: Seen, asked: Asked, faults: Sequence[Fault]
) -> Iterator[Fault]:
    """Of rules with so many hits that no word has room for all."""
    refused = {fault.object for fault in faults if fault.rule == "promotion-hits"}
    for one in sorted(chosen, key=str):
        rule = found.of(ground.names[one])
        listed = sum(at.hits.packets for at in rule.ports.values())
        if asked.accepted is None or str(one) in refused or listed + rule.rest.packets <= asked.accepted:
            continue
        if rule.rest.packets:
            message = (
                f"it would have dropped {listed + rule.rest.packets} packets, {rule.rest.packets} of them at"
                f" {rule.rest_ports} ports that their hosts do not name; {asked.accepted} are accepted"
            )
            advice = "Allow above it what should go on, or accept what is listed."
            yield Fault(str(one), "promotion-hits", message, advice)


def _silent(contents: Contents, ground: Ground, chosen: frozenset[Place], found: Seen) -> Iterator[Fault]:
    """Hosts with ports of it that say nothing: what happens there now is not known."""
    mute: dict[HostName, int] = {}
    for port in sorted({port for one in chosen for port in ground.selected[one]}):
        binding = contents.bindings.get(ground.ports[port].value.key)
        if binding is not None and binding.active and binding.host not in found.fresh:
            mute[binding.host] = mute.get(binding.host, 0) + 1
    for host in sorted(mute)[:_NAMED]:
        why = "what it says can't be read" if host in found.broken else "it says nothing of its rules now"
        yield Fault(
            f"Hypervisor {host}",
            "promotion-host-silent",
            f"{why}, and {mute[host]} of the ports live there",
            "See: ringfence status; its agent may be away, or older than the API.",
        )
    if len(mute) > _NAMED:
        message = f"{len(mute) - _NAMED} more hosts say nothing of their rules now"
        yield Fault("the hosts", "promotion-host-silent", message, "See: ringfence status.")


def _wanted(ground: Ground, chosen: frozenset[Place], share: int) -> Iterator[Wanted]:
    """What changes, as if somebody had applied it."""
    for before, after in zip(ground.policies, promote(ground.policies, chosen, share), strict=True):
        if after != before:
            yield WantedPolicy(after.tenant or None, after.name, after)
    for name, defaults in promote_tenants(ground.defaults, chosen, share).items():
        if defaults != ground.defaults[name]:
            yield WantedTenant(name, defaults=defaults)


def _told(
    ground: Ground, named: frozenset[Place], taken: Sequence[Place], weighed: Sequence[Weighed], asked: Asked
) -> dict[str, Any]:
    hits = [hit for one in weighed for hit in one.hits]
    return {
        "share": asked.share,
        "rules": sorted(map(str, named)),
        "companions": [str(one) for one in taken],
        "ports": len({port for one in weighed for port in one.first}),
        "packets": sum(hit.hits for hit in hits),
        "hits": [
            {
                "rule": hit.rule,
                "port": ground.title(hit.port),
                "packets": hit.hits,
                "samples": list(hit.samples),
            }
            for hit in hits[:SHOWN_HITS]
        ],
    }
