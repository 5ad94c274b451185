"""Health: what `ringfence status` shows: cluster, hosts, pools, alarms.

Place: contents and reports in, one JSON-ready value out. Pure. Must not trust a host's report for another
host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.api import inventory
from controller.api.concern import DEAD_AFTER_MS
from controller.api.egress_gauges import backlog_age
from controller.store.records import Contents, HypervisorRecord
from ipam.pools import Pool, address_pool, capacity, render_range
from model.report import EgressReport, PortState, Report, State

ALARM_FULL: Final = 0.9
"""A pool that is this full is an alarm."""
SHOWN_FULL: Final = 0.5
"""Subnets that are this full are listed with the cluster's pools."""
WAITS_ALARM_MS: Final = 15 * 60_000
"""A host that has not uploaded what it counted so long ago."""
ESTABLISHED: Final = "established"

Value = dict[str, Any]

_UNSERVED: Final = (PortState.REFUSED, PortState.UNKNOWN, PortState.ERROR)
"""Interfaces with an iface-id that get no traffic, and somebody wonders why."""


def status(
    contents: Contents, reports: Mapping[str, Report], unreadable: Mapping[str, str], now_ms: int
) -> Value:
    """`unreadable`: host -> why its report could not be parsed."""
    bound = Counter(dict(contents.bound))
    wanted = contents.cluster.generation if contents.cluster else 0
    hosts = [
        _declared(record, wanted, bound[name], unreadable.get(name, ""))
        | _reported(record, reports.get(name), now_ms)
        for name, record in sorted(contents.hypervisors.items())
    ]
    pools = list(_pools(contents))
    strangers = sorted(set(reports) - set(contents.hypervisors))
    return {
        "cluster": _cluster(contents),
        "counts": {
            "tenants": len(contents.tenants),
            "networks": len(contents.networks),
            "ports": len(contents.ports),
            "bound": bound.total(),
            "egressclasses": len(contents.classes),
            "hypervisors": len(contents.hypervisors),
        },
        "hosts": hosts,
        "undeclared": strangers,
        "pools": pools,
        "alarms": [
            *_host_alarms(hosts, strangers),
            *_pool_alarms(pools),
            *inventory.alarms(contents, reports),
        ],
    }


def _cluster(contents: Contents) -> Value:
    cluster = contents.cluster
    if cluster is None:
        return {"uid": "", "generation": 0, "asn": 0, "reflectors": []}
    return {
        "uid": cluster.uid,
        "generation": cluster.generation,
        "asn": cluster.asn,
        "reflectors": [str(r) for r in cluster.reflectors],
    }


def _declared(record: HypervisorRecord, wanted: int, bound: int, broken: str) -> Value:
    """What is known of a host that says nothing."""
    value = record.value
    return {
        "name": value.name,
        "vtep": str(value.vtep),
        "external": value.external,
        "frozenByOperator": value.frozen,
        "boundPorts": bound,
        "generation": None,
        "wantedGeneration": wanted,
        "heartbeatAgeMs": None,
        "state": "external" if value.external else "silent",
        "reason": "" if value.external else broken or "it has never reported: is its agent running?",
    }


def _reported(record: HypervisorRecord, report: Report | None, now_ms: int) -> Value:
    """What the host says of itself; {} if nothing."""
    if report is None or record.value.external:
        return {}
    age = max(now_ms - report.stamp_ms, 0)
    dead = age > DEAD_AFTER_MS
    refused = (p for p in report.ports if p.state in _UNSERVED)
    return {
        "state": "dead" if dead else report.state.value,
        "reason": f"no heartbeat for {age // 1000} s" if dead else report.reason,
        "heartbeatAgeMs": age,
        "generation": report.generation,
        "sinceMs": report.since_ms,
        "stop": report.stop,
        "flows": report.flows,
        "ports": dict(sorted(Counter(p.state.value for p in report.ports).items())),
        "refusedPorts": [{"uid": p.uid, "state": p.state.value, "reason": p.reason} for p in refused],
        "drift": asdict(report.drift),
        "evpn": {
            "peers": [asdict(peer) for peer in report.evpn.peers],
            "originated": report.evpn.originated,
            "learned": report.evpn.learned,
            "refused": report.evpn.refused,
            "missing": report.evpn.missing,
            "damped": report.evpn.damped,
            "tolerated": report.evpn.tolerated,
            "full": list(report.evpn.full),
        },
        "datapath": report.datapath,
        "underlayMtu": report.underlay or None,
        "lease": report.lease,
        "egress": _egress(report.egress, now_ms),
        "version": report.version,
    }


def _egress(told: EgressReport | None, now_ms: int) -> Value | None:
    """None: an agent of before."""
    if told is None:
        return None
    return {
        "wireBytes": told.wire,
        "countedBytes": told.counted,
        "unseenPorts": told.unseen,
        "backlog": told.backlog,
        "backlogAgeMs": backlog_age(told, now_ms),
        "held": told.held,
        "diskFree": told.free if told.size else None,
        "diskSize": told.size or None,
        "diskFullSeconds": told.full_in_s,
    }


def _pools(contents: Contents) -> Iterator[Value]:
    for name, pool in sorted(contents.pools.items()):
        yield _pool(name, pool, contents)
    for (tenant, name), record in sorted(contents.networks.items()):
        for subnet in record.value.subnets:
            shown = _pool(f"{tenant}/{name} {subnet}", address_pool(record.value.key, subnet), contents)
            if shown["used"] >= SHOWN_FULL * shown["size"]:
                yield shown


def _pool(name: str, pool: Pool, contents: Contents) -> Value:
    taken = contents.taken.get(pool.name)
    first, last = render_range(pool)
    return {
        "name": name,
        "kind": pool.kind.value,
        "used": taken.used if taken else 0,
        "size": capacity(pool),
        "first": first,
        "last": last,
    }


def _host_alarms(hosts: list[Value], strangers: list[str]) -> Iterator[Value]:
    for host in hosts:
        name, state = f"Hypervisor {host['name']}", host["state"]
        if state in {"dead", "silent"} and (host["boundPorts"] or state == "dead"):
            yield _alarm(
                name, f"{host['reason']}; {host['boundPorts']} ports are bound there", "Look at its agent."
            )
        elif state == State.FROZEN.value:
            yield _alarm(
                name, f"frozen: {host['reason']}", f"Check it, then: ringfence confirm {host['name']}"
            )
        elif state == State.DEGRADED.value:
            yield _alarm(name, f"degraded: {host['reason']}", "Look at its agent's log.")
        if state == "dead":
            continue
        evpn = host.get("evpn", {})
        for peer in evpn.get("peers", ()):
            if peer["state"] != ESTABLISHED:
                yield _alarm(name, f"BGP to {peer['address']} is {peer['state']}", "Look at the reflector.")
        if evpn.get("refused"):
            yield _alarm(name, f"{evpn['refused']} EVPN routes are refused", "See: ringfence evpn rejected")
        if evpn.get("tolerated"):
            message = f"{evpn['tolerated']} EVPN routes are used that nobody declared: the guard only counts"
            yield _alarm(
                name, message, "Declare what is yours (ringfence evpn rejected), then --guard enforce."
            )
        for sentence in evpn.get("full", ()):
            yield _alarm(name, sentence, "Look into who sends so many: ringfence evpn rejected")
        if evpn.get("damped"):
            message = f"{evpn['damped']} MACs or addresses move too often, and are held where they were"
            yield _alarm(name, message, "See: ringfence evpn duplicates; end it: ringfence evpn release")
        waits = (host.get("egress") or {}).get("backlogAgeMs", 0)
        if waits >= WAITS_ALARM_MS:
            message = f"what it counted waits for the ledger since {waits // 60_000} minutes"
            yield _alarm(name, message, "Nothing is lost yet; see the agent's log: does the API answer it?")
        for port in host.get("refusedPorts", ()):
            yield _alarm(
                name,
                f"port {port['uid']} is {port['state']}: {port['reason']}",
                "Mend its hosts or unplug it.",
            )
    for stranger in strangers:
        yield _alarm(
            f"Hypervisor {stranger}", "reports, but is not declared", "Apply a Hypervisor manifest for it."
        )


def _pool_alarms(pools: list[Value]) -> Iterator[Value]:
    for pool in pools:
        if pool["size"] and pool["used"] >= ALARM_FULL * pool["size"]:
            yield _alarm(
                f"Pool {pool['name']}",
                f"{pool['used']} of {pool['size']} are used",
                "Delete what is not needed, or use a larger range.",
            )


def _alarm(subject: str, message: str, remedy: str) -> Value:
    return {"object": subject, "message": message, "remedy": remedy}
