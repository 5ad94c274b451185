"""Status of policies: each rule and default with what it does, how well it was watched, and what it hit.

Place: what `ringfence policy status` shows; made of the store's contents and of what hosts say. Pure. Must
not judge whether that is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from controller.api import seen
from controller.api.ground import Ground, survey
from controller.api.seen import AtPort, Seen
from controller.manifest.suggest import remedy
from controller.store.records import Contents
from controller.store.words import Word
from model.entries import Level
from model.errors import Fault, NotFound
from model.evidence import Amount, RuleName
from model.ids import Uid
from model.policy import Action, State
from pipelines.policy.entries import Entry
from pipelines.policy.promotion import Witness, covered

MOST_HITS: Final = 200
"""Ports of a rule that are listed with their hits, the most first; as many of those watched least."""
Document = dict[str, Any]


def status(
    contents: Contents, words: Iterable[Word], tenant: str | None, policy: str | None, now: int
) -> list[Document]:
    """Of one policy or of all, of one tenant or (None) of the operator and all tenants; also tenants' own
    defaults. NotFound for a policy or tenant that is not there."""
    ground = survey(contents, tenant)
    mine = [entry for entry in ground.every() if _asked(entry, tenant, policy)]
    if tenant is not None and tenant not in contents.tenants:
        raise _missing("Tenant", tenant, contents.tenants)
    known = {one.name for one in ground.policies if tenant in (None, one.tenant)}
    if policy is not None and policy not in known:
        raise _missing("Policy", policy, known)
    names = frozenset(ground.names[entry.place] for entry in mine)
    found = seen.gather(words, contents, ground.ports, names, now)
    clock = _Hours(found)
    return [_row(ground, entry, found, clock) for entry in sorted(mine, key=_rank)]


def _asked(entry: Entry, tenant: str | None, policy: str | None) -> bool:
    if tenant is not None and entry.place.tenant != tenant:
        return False
    return policy is None or entry.place.policy == policy


def _missing(kind: str, name: str, known: Iterable[str]) -> NotFound:
    return NotFound(Fault(f"{kind} {name}", "not-found", "it does not exist", remedy(name, sorted(known))))


def _rank(entry: Entry) -> tuple[Any, ...]:
    """By owner and policy, as it was written: rules, then defaults."""
    place = entry.place
    last = not place.policy, not place.number
    return place.tenant, place.level, last[0], place.policy, last[1], place.number, place.direction.value


class _Hours:
    """For how long ports were watched. Rules that are as old as each other, on the same ports, are asked for
    once: a policy may have hundreds, on thousands of ports."""

    def __init__(self, found: Seen) -> None:
        self._found = found
        self._known: dict[tuple[Any, ...], tuple[dict[Uid, float], list[Document]]] = {}

    def hours(
        self, ground: Ground, rule: RuleName, ports: Sequence[Uid]
    ) -> tuple[dict[Uid, float], list[Document]]:
        """By port, and the ports that were watched least."""
        key = (*map(id, self._found.of(rule).watches), tuple(ports))
        if key not in self._known:
            spans = self._found.spans(rule)
            made = ((port, Witness("", port, spans.get(port, ()))) for port in ports)
            hours = {port: covered(one).total_seconds() / 3600 for port, one in made}
            self._known[key] = hours, list(_least(ground, hours))
        return self._known[key]


def _row(ground: Ground, entry: Entry, found: Seen, clock: _Hours) -> Document:
    place, name = entry.place, ground.names[entry.place]
    selected = ground.selected[place]
    waiting = [port for port in selected if entry.at(port) is State.COUNT]
    # An allow drops nothing, and nobody has to watch it.
    watched = waiting if entry.action is not Action.ALLOW else []
    hours, least = clock.hours(ground, name, watched)
    rule = found.of(name)
    judged = frozenset(selected)
    hits = {port: at for port, at in sorted(rule.ports.items()) if port in judged and at.hits.packets}
    total = Amount(
        rule.rest.packets + sum(at.hits.packets for at in hits.values()),
        rule.rest.octets + sum(at.hits.octets for at in hits.values()),
    )
    return {
        "tenant": place.tenant,
        "policy": place.policy,
        "tier": "tenant default" if place.level is Level.LAST else place.level.name.lower(),
        "rule": place.number,
        "name": place.name,
        "direction": place.direction.value,
        "action": entry.action.value,
        "state": entry.state.value,
        "share": entry.share,
        "number": name.number,
        "ports": len(selected),
        "counting": len(waiting),
        "watched": sum(value > 0 for value in hours.values()),
        "hours": round(min(hours.values()), 2) if hours else None,
        "decided": {"packets": rule.enforced.packets, "octets": rule.enforced.octets},
        "hits": {
            "packets": total.packets,
            "octets": total.octets,
            "ports": len(hits) + rule.rest_ports,
            "lastMs": rule.last,
        },
        "hitPorts": list(_hit_ports(ground, hits)),
        "leastWatched": least,
    }


def _hit_ports(ground: Ground, hits: dict[Uid, AtPort]) -> Iterator[Document]:
    ranked = sorted(hits.items(), key=lambda item: (-item[1].hits.packets, ground.title(item[0])))
    for port, at in ranked[:MOST_HITS]:
        yield {
            "port": ground.title(port),
            "packets": at.hits.packets,
            "octets": at.hits.octets,
            "lastMs": at.last,
            "samples": list(at.samples),
        }


def _least(ground: Ground, hours: dict[Uid, float]) -> Iterator[Document]:
    ranked = sorted(hours.items(), key=lambda item: (item[1], ground.title(item[0])))
    for port, watched in ranked[:MOST_HITS]:
        yield {"port": ground.title(port), "hours": round(watched, 2)}
