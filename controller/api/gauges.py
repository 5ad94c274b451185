"""Gauges: what the store, hosts and fabrics say, as samples for Prometheus.

Place: contents and words in, samples out; `controller.api.metrics` reads and serves. Pure. No label has as
many values as there are gangs, VFs or nodes; only those of egress have one for hosts. Rules come from hosts,
which may be compromised: their number is bounded too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controller.api import asked, egress_gauges, policy_gauges
from controller.api.exposition import Metric, Sample
from controller.api.turns import Tally
from controller.store.records import Contents
from ipam.gangs.levels import Level
from model.bearing import FabricWord, HostWord, Reached
from model.fabric import FabricKind
from model.gang import GangState

METRICS: Final = (
    Metric("ringfence_generation", "gauge", (), "Generation of the cluster: it rises with each change."),
    Metric("ringfence_objects", "gauge", ("kind",), "Objects that are declared."),
    Metric("ringfence_hosts", "gauge", ("state",), "Hypervisors by what their agents say of themselves."),
    Metric("ringfence_pool_size", "gauge", ("fabric", "what", "rail"), "What can be handed out."),
    Metric("ringfence_pool_held", "gauge", ("fabric", "what", "rail"), "What somebody has."),
    Metric("ringfence_pool_cooling", "gauge", ("fabric", "what", "rail"), "Released, and not given yet."),
    Metric("ringfence_pool_free", "gauge", ("fabric", "what", "rail"), "What the next one can get."),
    Metric(
        "ringfence_pool_torn_ratio", "gauge", ("fabric", "what", "rail"), "Free, but not in one piece: share."
    ),
    Metric(
        "ringfence_pool_exhausted_timestamp_seconds",
        "gauge",
        ("fabric", "what", "rail"),
        "Unix time at which it is used up if it goes on as it did; none if it does not fill.",
    ),
    Metric("ringfence_gangs", "gauge", ("fabric", "state"), "Gangs by state; released: they cool down."),
    Metric(
        "ringfence_gang_oldest_seconds",
        "gauge",
        ("fabric", "state"),
        "How long the gang that is longest in a state on the way has been in it; 0 if there is none.",
    ),
    Metric("ringfence_gang_waits", "gauge", ("fabric",), "Gangs that the fabric's process says wait."),
    Metric("ringfence_gang_turns", "gauge", (), "Writers of gangs that wait or work in this API process."),
    Metric("ringfence_gang_turns_total", "counter", ("outcome",), "Turns of writers of gangs."),
    Metric("ringfence_gang_turn_wait_seconds_total", "counter", (), "Time that those turns were waited for."),
    Metric("ringfence_fabric_told", "gauge", ("fabric",), "1 if a process speaks for the fabric, else 0."),
    Metric(
        "ringfence_fabric_word_age_seconds", "gauge", ("fabric", "driver"), "Since its process last spoke."
    ),
    Metric(
        "ringfence_fabric_read_age_seconds",
        "gauge",
        ("fabric",),
        "Since the reading of its ports began that its process speaks of; none before the first one.",
    ),
    Metric("ringfence_fabric_alarms", "gauge", ("fabric", "rule"), "Alarms of the fabric's process."),
    Metric(
        "ringfence_words_unreadable", "gauge", ("speaker",), "Words of hosts and fabrics that can't be read."
    ),
    Metric("ringfence_host_parts", "gauge", ("reached",), "Parts of gangs on hosts, by how far devices are."),
    Metric("ringfence_host_faults", "gauge", ("rule",), "Why parts of gangs on hosts get no further."),
    Metric("ringfence_hosts_mute", "gauge", (), "Hosts with gangs that do not speak of them, or no more."),
    Metric("ringfence_inventory_nodes", "gauge", ("fabric", "state"), "Nodes by how their hardware is."),
    Metric("ringfence_inventory_differences", "gauge", ("rule",), "Differences of hardware from its SKU."),
    Metric("ringfence_inventory_age_seconds", "gauge", (), "Since the node that is read longest ago was."),
    *egress_gauges.METRICS,
    *policy_gauges.METRICS,
    *asked.METRICS,
    Metric("ringfence_answer_seconds", "gauge", (), "What the answer before this one took to make."),
)
OTHER: Final = "other"
MUTE_AFTER_MS: Final = 30_000
"""Hosts speak every 5 s."""
_MOST_RULES: Final = 64
_RULE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?", re.ASCII)
_ON_THE_WAY: Final = (
    GangState.RESERVED,
    GangState.PROGRAMMED,
    GangState.VERIFIED,
    GangState.RELEASING,
    GangState.FAILED,
)


@dataclass(frozen=True, slots=True)
class Words:
    """What was said, with its age in ms, by host or fabric. `broken`: of hosts and of fabrics, that can't be
    read."""

    hosts: Mapping[str, tuple[HostWord, int]]
    fabrics: Mapping[str, tuple[FabricWord, int]]
    broken: tuple[int, int] = (0, 0)


def cluster(contents: Contents) -> Iterator[Sample]:
    """What there is."""
    yield Sample("ringfence_generation", (), contents.cluster.generation if contents.cluster else 0)
    counts = {
        "fabrics": len(contents.fabrics),
        "hypervisors": len(contents.hypervisors),
        "networks": len(contents.networks),
        "nodes": len(contents.nodes),
        "ports": len(contents.ports),
        "skus": len(contents.skus),
        "tenants": len(contents.tenants),
    }
    for kind, count in counts.items():
        yield Sample("ringfence_objects", (kind,), count)


def pools(levels: Iterable[Level], exhausted: Mapping[tuple[str, str, str], int | None]) -> Iterator[Sample]:
    """`exhausted`: Unix ms, by the pool's key."""
    for level in levels:
        yield Sample("ringfence_pool_size", level.key, level.size)
        yield Sample("ringfence_pool_held", level.key, level.held)
        yield Sample("ringfence_pool_cooling", level.key, level.cooling)
        yield Sample("ringfence_pool_free", level.key, level.free)
        if level.fragmentation is not None:
            yield Sample("ringfence_pool_torn_ratio", level.key, level.fragmentation)
        moment = exhausted.get(level.key)
        if moment is not None:
            yield Sample("ringfence_pool_exhausted_timestamp_seconds", level.key, moment // 1000)


def gangs(contents: Contents, now: int) -> Iterator[Sample]:
    """`now`: Unix ms. Of a gang of before 1.6.0 it is not known since when it is as it is."""
    count: Counter[tuple[str, GangState]] = Counter()
    oldest: dict[tuple[str, GangState], int] = {}
    for gang in contents.ledger.gangs.values():
        key = gang.request.fabric, gang.progress.state
        count[key] += 1
        if gang.since:
            oldest[key] = max(oldest.get(key, 0), now - gang.since)
    for gang, _ in contents.ledger.cooling.values():
        count[gang.request.fabric, GangState.RELEASED] += 1
    for fabric in _fabrics(contents):
        for state in GangState:
            if state is not GangState.PLANNED:
                yield Sample("ringfence_gangs", (fabric, state.value), count[fabric, state])
        for state in _ON_THE_WAY:
            age = max(oldest.get((fabric, state), 0), 0) / 1000
            yield Sample("ringfence_gang_oldest_seconds", (fabric, state.value), age)


def turns(tally: Tally) -> Iterator[Sample]:
    """Of the writers of gangs in this process."""
    yield Sample("ringfence_gang_turns", (), tally.there)
    for outcome, number in (("taken", tally.taken), ("full", tally.full), ("late", tally.late)):
        yield Sample("ringfence_gang_turns_total", (outcome,), number)
    yield Sample("ringfence_gang_turn_wait_seconds_total", (), tally.seconds)


def words(contents: Contents, said: Words, now: int) -> Iterator[Sample]:
    """What fabrics and hosts say; `now`: Unix ms. Words of fabrics and hosts that are not declared count for
    nothing."""
    for fabric in _fabrics(contents):
        found = said.fabrics.get(fabric)
        yield Sample("ringfence_fabric_told", (fabric,), int(found is not None))
        if found is None:
            continue
        word, age = found
        driver = _named((word.driver,))
        yield Sample("ringfence_fabric_word_age_seconds", (fabric, *driver), max(age, 0) / 1000)
        if word.read:
            yield Sample("ringfence_fabric_read_age_seconds", (fabric,), max(now - word.read, 0) / 1000)
        yield Sample("ringfence_gang_waits", (fabric,), len(word.waits))
        for rule, number in _rules(alarm.rule for alarm in word.alarms):
            yield Sample("ringfence_fabric_alarms", (fabric, rule), number)
    for speaker, number in zip(("host", "fabric"), said.broken, strict=True):
        yield Sample("ringfence_words_unreadable", (speaker,), number)
    heard = [said.hosts[name][0] for name in contents.hypervisors if name in said.hosts]
    parts = [part for word in heard for part in word.parts]
    reached = Counter(part.reached for part in parts)
    for each in Reached:
        yield Sample("ringfence_host_parts", (each.value,), reached[each])
    for rule, number in _rules(fault.rule for part in parts for fault in part.faults):
        yield Sample("ringfence_host_faults", (rule,), number)
    bearing = {berth.host for gang in contents.ledger.gangs.values() for berth in gang.berths}
    mute = sum(host not in said.hosts or said.hosts[host][1] > MUTE_AFTER_MS for host in bearing)
    yield Sample("ringfence_hosts_mute", (), mute)


def hosts(states: Iterable[str]) -> Iterator[Sample]:
    """One state a host."""
    for state, number in sorted(Counter(states).items()):
        yield Sample("ringfence_hosts", (state,), number)


def inventory(contents: Contents, found: Mapping[str, tuple[str, ...] | None]) -> Iterator[Sample]:
    """`found`: node -> rules of its differences, None = its host has told of nothing; a node that is not
    there was not read yet."""
    count: Counter[tuple[str, str]] = Counter()
    for name, record in contents.nodes.items():
        state = "unread"
        if name in found:
            rules = found[name]
            state = "unseen" if rules is None else "differs" if rules else "matches"
        count[record.value.fabric, state] += 1
    for fabric in sorted(contents.fabrics):
        for state in ("matches", "differs", "unseen", "unread"):
            yield Sample("ringfence_inventory_nodes", (fabric, state), count[fabric, state])
    for rule, number in _rules(rule for rules in found.values() for rule in rules or ()):
        yield Sample("ringfence_inventory_differences", (rule,), number)


def _fabrics(contents: Contents) -> Sequence[str]:
    """Those that can have gangs."""
    return sorted(
        name for name, record in contents.fabrics.items() if record.value.kind is not FabricKind.ETHERNET
    )


def _rules(found: Iterable[str]) -> Iterator[tuple[str, int]]:
    """By rule, the most frequent ones by name; all that is no rule, or one too many, is `other`."""
    count = Counter(_named(found))
    strange = count.pop(OTHER, 0)
    ranked = sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))
    strange += sum(number for _, number in ranked[_MOST_RULES:])
    yield from sorted(ranked[:_MOST_RULES])
    if strange:
        yield OTHER, strange


def _named(found: Iterable[str]) -> Iterator[str]:
    return (rule if _RULE.fullmatch(rule) else OTHER for rule in found)
