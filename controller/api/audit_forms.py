"""Forms of the audit: what was found as JSON, and the words of hosts and fabrics as the audit takes them.

Place: between `controller.api.audits` and `ipam.audit`. Pure. Must not judge anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from controller.store.words import Word
from ipam.audit.findings import Audit, Finding, Hold, Orphan, Row, Side
from ipam.audit.heard import Heard, Told
from ipam.audit.orphans import LOOKS, Trails, apart, hindrance, ripe, side, title
from ipam.contents import Contents
from model.addresses import format_mac
from model.bearing import parse_fabric, parse_host
from model.fabric import format_guid, format_pkey
from model.report import Report
from model.sighting import SeenVf

T = TypeVar("T")


def hear(reports: Mapping[str, Report], hosts: Iterable[Word], fabrics: Iterable[Word]) -> Heard:
    """A word that can't be read was not said: its speaker counts as silent."""
    words, said = {}, {}
    for word in hosts:
        try:
            words[word.name] = Told(parse_host(word.text), word.stamp)
        except ValueError:
            continue
    for word in fabrics:
        try:
            said[word.name] = Told(parse_fabric(word.text), word.stamp)
        except ValueError:
            continue
    return Heard({name: Told(r.devices, r.stamp_ms) for name, r in reports.items()}, words, said)


def document(seen: Audit, contents: Contents, trails: Trails, now: int, *, every: bool) -> dict[str, Any]:
    """`every`: rows in which nothing is wrong, too."""
    agreed = seen.agreement
    return {
        "clean": not seen.findings,
        "rows": [_row(row, now) for row in seen.rows if every or row.findings],
        "checked": len(seen.rows),
        "findings": [_finding(each) for each in seen.findings],
        "agreement": {
            "tenants": agreed.tenants,
            "apart": agreed.apart,
            "counts": dict(agreed.counts),
            "clashes": [_finding(each) for each in agreed.clashes],
        },
        "orphans": orphans(seen, contents, trails),
        "heard": {name: max(now - stamp, 0) for name, stamp in sorted(seen.looked.items())},
    }


def orphans(seen: Audit, contents: Contents, trails: Trails) -> list[dict[str, Any]]:
    """What would be taken back, and what it waits for."""
    found = sorted({each.orphan for each in seen.findings if each.orphan is not None})
    return [_orphan(each, contents, trails) for each in found]


def _orphan(each: Orphan, contents: Contents, trails: Trails) -> dict[str, Any]:
    trail, fault = trails.get(each), hindrance(contents, each)
    waits = "" if fault is None else f"{fault.message}. {fault.remedy}"
    return {
        "name": title(each),
        "fabric": each.fabric,
        "node": each.node,
        "host": each.host,
        "pf": each.pf,
        "vf": each.vf,
        "portGuid": format_guid(each.guid) if each.guid else "",
        "pkey": format_pkey(each.pkey) if each.pkey else "",
        "seenBy": side(each),
        "looks": 0 if trail is None else trail.looks,
        "needed": LOOKS,
        "apartMs": apart(each),
        "ripe": ripe(trail) and fault is None,
        "hindered": waits,
    }


def _finding(each: Finding) -> dict[str, str]:
    return {
        "rule": each.rule.value,
        "object": each.object,
        "message": each.message,
        "remedy": each.remedy,
    }


def _row(row: Row, now: int) -> dict[str, Any]:
    place = {"fabric": row.fabric, "node": row.node, "host": row.host, "rail": row.rail, "pf": row.pf}
    store: dict[str, Any] = {"hold": row.hold.value}
    if row.gang is not None:
        store |= {"tenant": row.gang.request.tenant, "gang": row.gang.request.name}
        store |= {"generation": row.gang.generation, "state": row.gang.progress.state.value}
        if row.gang.pkey:
            store |= {"pkey": format_pkey(row.gang.pkey), "membership": row.gang.request.membership.value}
    if row.interface is not None and row.interface.mac:
        store["mac"] = format_mac(row.interface.mac)
    if row.hold is Hold.COOLING:
        store["coolsMs"] = max(row.until - now, 0)
    port: dict[str, Any] = {"said": row.asked.value}
    if row.asked is Side.TOLD:
        port["table"] = None if row.table is None else [f"0x{entry:04x}" for entry in row.table if entry]
    return place | {
        "vf": row.vf,
        "portGuid": format_guid(row.guid) if row.guid else "",
        "store": store,
        "seen": {"said": row.sight.value, **_vf(row.seen, row.sight)},
        "port": port,
        "verdict": [each.rule.value for each in row.findings],
    }


def _vf(seen: SeenVf | None, sight: Side) -> dict[str, Any]:
    if seen is None:
        return {"there": False} if sight is Side.TOLD else {}
    told = {
        "driver": seen.driver,
        "mac": format_mac(seen.mac) if seen.mac else "",
        "nodeGuid": format_guid(seen.node_guid) if seen.node_guid else "",
        "portGuid": format_guid(seen.port_guid) if seen.port_guid else "",
        "vlan": seen.vlan,
    }
    return {"there": True} | {key: value for key, value in told.items() if value}
