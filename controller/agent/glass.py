"""Glass: what this host knows of EVPN, in rows: neighbours, routes in use and what they became, and the rest.

Place: answers the question `evpn` of the API from the loop's last state. Pure; `now` is the learner's clock.
Must not change or judge anything.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bgp import learn, show
from bgp.codec import communities
from bgp.guard import Claim, FloodClaim, MacClaim
from bgp.rights import PrefixClaim
from bgp.segments import SegmentClaim
from bgp.story import Story, last_error
from bgp.table import HELD, address_order, prefix_order
from controller.agent import glass_segments
from controller.agent.core import Core
from controller.agent.doubles import duplicates
from controller.agent.seeking import Choice, What
from controller.agent.titles import network_title, tenants_of
from model.addresses import Address, Prefix, format_mac
from model.ids import NetworkKey, TenantKey, Vni
from model.route import DiscoveryRoute, MacRoute, MulticastRoute, PrefixRoute, Route
from model.segments import segment_text
from model.snapshot import Snapshot
from model.vrfs import title
from pipelines import objects as o

Row = dict[str, Any]
_TYPES: Final = {"mac": 2, "address": 2, "flood": 3, "prefix": 5}
_NOBODY: Final = Story()
_ORDER: Final = "order"
_OBJECTS: Final = "objects"


def answer(core: Core, wanted: Choice, now: float) -> Row:
    """`rows` in a fixed order, at most `wanted.limit`; `left`: how many more there are."""
    count = Counter[str]()
    rows = heapq.nsmallest(wanted.limit, _counted(_every(core, wanted, now), count), key=lambda r: r[_ORDER])
    for row in rows:
        row.pop(_ORDER)
        if _OBJECTS in row:  # only what is shown is looked up: there may be many
            row["became"] = _became(core, row.pop(_OBJECTS))
    return {"rows": rows, "left": count["rows"] - len(rows)}


def _counted(rows: Iterable[Row], count: Counter[str]) -> Iterator[Row]:
    for row in rows:
        count["rows"] += 1
        yield row


def _every(core: Core, wanted: Choice, now: float) -> Iterator[Row]:
    match wanted.what:
        case What.NEIGHBORS:
            return _neighbours(core, now)
        case What.ROUTES:
            return _routes(core, wanted)
        case What.PATHS:
            return _paths(core, wanted)
        case What.ADVERTISED:
            return _advertised(core, wanted)
        case What.REJECTED:
            return _rejected(core, wanted)
        case What.DUPLICATES:
            return duplicates(core, wanted, now)


def _became(core: Core, objects: Iterable[o.Object]) -> list[Row]:
    """The flows of these objects, by cookie."""
    flows = Counter(flow.cookie for subject in objects for flow in core.program.flows_of(subject))
    return [{"cookie": f"{cookie:#018x}", "flows": flows[cookie]} for cookie in sorted(flows)]


def _neighbours(core: Core, now: float) -> Iterator[Row]:
    """The cluster's reflectors, and whoever else had a session."""
    table, cluster = core.table, core.effective.cluster
    accepted = Counter(peer for _, peer in table.live)
    refused = Counter(peer for _, peer in table.refused)
    known = {str(one) for one in cluster.reflectors} if cluster is not None else set()
    for peer in known | set(table.stories):
        story, state = table.stories.get(peer, _NOBODY), table.peers.get(peer)
        yield {
            _ORDER: peer,
            "peer": peer,
            "state": "established" if story.up else "connect",
            "seconds": max(int(now - story.since), 0) if story.sessions else 0,
            "sessions": story.sessions,
            "replayed": "yes" if state is not None and state.ended else "no",
            "received": story.announced,
            "withdrawn": story.withdrawn,
            "accepted": accepted[peer],
            "refused": refused[peer],
            "malformed": story.malformed,
            "error": last_error(story),
        }


def _routes(core: Core, wanted: Choice) -> Iterator[Row]:
    """What is in use: a row a MAC, an address of a pair, a place for replicated frames, a prefix's hop; what
    VTEPs said of segments."""
    now = core.effective
    yield from glass_segments.rows(now, core.table, wanted, _ORDER)
    for (network, mac), remote in now.remotes.items():
        if wanted.takes(2, tenants_of(now, network), mac, remote.addresses):
            owner = core.table.lookup.port(network, mac)
            port = "" if owner is None or owner not in now.ports else now.ports[owner].name
            row = _used(now, "mac", network, remote.vtep, format_mac(mac), remote.addresses)
            row |= {"sequence": remote.sequence, "port": port}
            row |= {"segment": segment_text(remote.segment) if remote.segment else ""}
            yield row | {_OBJECTS: (o.remote(network, mac), o.route(network, mac))}
    for (network, address), there in now.claimed.items():
        if wanted.takes(2, tenants_of(now, network), there.mac, (address,)):
            row = _used(now, "address", network, there.vtep, format_mac(there.mac), (address,))
            yield row | {"sequence": there.sequence, _OBJECTS: (o.address(network, address),)}
    for network, vtep in now.floods:
        if wanted.takes(3, tenants_of(now, network), None, ()):
            yield _used(now, "flood", network, vtep, "", ()) | {_OBJECTS: (o.network(network),)}
    for (vrf, prefix), known in now.prefixes.items():
        if wanted.takes(5, (vrf,), None, (prefix,)):
            objects = (o.prefix(vrf, prefix), o.outside(vrf, prefix), o.peered(vrf, prefix))
            for hop in known.hops:
                row = _row("prefix", title(now, vrf), hop.vtep, format_mac(hop.router_mac), (prefix,))
                row |= {"preference": known.preference, _OBJECTS: objects}
                yield row | {_ORDER: (5, vrf, (*prefix_order(prefix), *address_order(hop.vtep)), "")}


def _used(
    now: Snapshot, kind: str, network: NetworkKey, vtep: Address, mac: str, addresses: tuple[Address, ...]
) -> Row:
    row = _row(kind, network_title(now, network), vtep, mac, addresses)
    return row | {_ORDER: (_TYPES[kind], network, tuple(map(address_order, (*addresses[:1], vtep))), mac)}


def _row(kind: str, network: str, vtep: Address, mac: str, addresses: tuple[Address | Prefix, ...]) -> Row:
    return {
        "kind": kind,
        "type": _TYPES[kind],
        "network": network,
        "vtep": str(vtep),
        "mac": mac,
        "addresses": [str(one) for one in addresses],
        "sequence": 0,
        "port": "",
        "segment": "",
    }


def _paths(core: Core, wanted: Choice) -> Iterator[Row]:
    """Every route that the guard let through, used or not, and who stands by it."""
    now, table = core.effective, core.table
    for (key, peer), live in table.live.items():
        if peer == min(table.peers_of[key]) and _claimed(now, wanted, live.claim):
            row = _said(core, live.route) | {"peers": sorted(table.peers_of[key]), "state": "live"}
            yield row | {"use": _use(now, live.claim)}
    for held in table.held.values():
        if _claimed(now, wanted, held.claim):
            row = _said(core, held.route) | {"peers": [] if held.peer == HELD else [held.peer]}
            yield row | {"state": "held", "use": _use(now, held.claim)}


def _claimed(now: Snapshot, wanted: Choice, claim: Claim) -> bool:
    match claim:
        case MacClaim():
            addresses = () if claim.address is None else (claim.address,)
            return wanted.takes(2, tenants_of(now, claim.network), claim.mac, addresses)
        case FloodClaim():
            return wanted.takes(3, tenants_of(now, claim.network), None, ())
        case PrefixClaim():
            return wanted.takes(5, (claim.vrf,), None, (claim.prefix,))
        case SegmentClaim():
            return wanted.takes(claim.type, glass_segments.tenants(now, claim), None, ())
        case _:
            return wanted.takes(2, tenants_of(now, claim.network), claim.mac, (claim.address,))


def _use(now: Snapshot, claim: Claim) -> str:
    """`best`: what is in use leads to where the claim does."""
    found: bool
    match claim:
        case MacClaim():
            remote = now.remotes.get((claim.network, claim.mac))
            found = remote is not None and remote.vtep == claim.vtep
        case SegmentClaim():
            found = claim.type == 1
        case FloodClaim():
            found = (claim.network, claim.vtep) in now.floods
        case PrefixClaim():
            known = now.prefixes.get((claim.vrf, claim.prefix))
            found = known is not None and claim.vtep in {hop.vtep for hop in known.hops}
        case _:
            there = now.claimed.get((claim.network, claim.address))
            found = there is not None and (there.vtep, there.mac) == (claim.vtep, claim.mac)
    return "best" if found else "spare"


def _advertised(core: Core, wanted: Choice) -> Iterator[Row]:
    """What this host announces."""
    return (_said(core, route) for route in core.routes.ordered() if _fits(core, wanted, route))


def _rejected(core: Core, wanted: Choice) -> Iterator[Row]:
    """What the guard refuses, and why; and what it would refuse, if it did not only count."""
    table = core.table
    for verdict, found in (("refused", learn.rejected(table)), ("counted", learn.tolerated(table))):
        for one in found:
            if _fits(core, wanted, one.route):
                row = _said(core, one.route) | {"peer": one.peer, "code": one.code, "reason": one.reason}
                yield row | {"verdict": verdict, _ORDER: (*row[_ORDER], one.peer)}


def _fits(core: Core, wanted: Choice, route: Route) -> bool:
    """By what the route itself says: nobody vouches for it."""
    body = route.nlri
    tenants = _named(core, route)
    if isinstance(body, MacRoute):
        return wanted.takes(2, tenants, body.mac, () if body.address is None else (body.address,))
    if isinstance(body, PrefixRoute):
        return wanted.takes(5, tenants, None, (body.prefix,))
    return wanted.takes(_kind(route), tenants, None, ())


def _kind(route: Route) -> int:
    """The route type, as `show` writes it."""
    word = show.text(route).split()[0].removeprefix("RT-")
    return int(word) if word.isdigit() else 0


def _said(core: Core, route: Route) -> Row:
    """What a route says, in words and in parts."""
    body, hung = route.nlri, route.attributes
    text = show.text(route)
    mac, addresses = "", list[str]()
    if isinstance(body, MacRoute):
        mac = format_mac(body.mac)
        addresses = [] if body.address is None else [str(body.address)]
    elif isinstance(body, PrefixRoute):
        addresses = [str(body.prefix)]
    now = core.effective
    network = _network(core, route)
    return {
        _ORDER: (_kind(route), text),
        "route": text,
        "type": _kind(route),
        "network": network_title(now, network) if network is not None else _vrf(core, route),
        "mac": mac,
        "addresses": addresses,
        "vtep": str(hung.next_hop),
        "sequence": hung.sequence or 0,
        "preference": hung.local_preference,
        "targets": [communities.target_text(one) for one in hung.route_targets],
    }


def _network(core: Core, route: Route) -> NetworkKey | None:
    vni = _vni(route)
    return None if vni is None else core.table.lookup.network(vni)


def _vrf(core: Core, route: Route) -> str:
    vni = _vni(route)
    found = None if vni is None else core.table.lookup.holders.vrf(vni)
    return "" if found is None else title(core.effective, found)


def _vni(route: Route) -> Vni | None:
    body = route.nlri
    if isinstance(body, MacRoute | PrefixRoute | DiscoveryRoute):
        return Vni(body.vni) if body.vni else None
    return route.attributes.pmsi_vni if isinstance(body, MulticastRoute) else None


def _named(core: Core, route: Route) -> frozenset[TenantKey]:
    """The VRFs that label and route targets name; the tenant of each network that they name."""
    lookup, found = core.table.lookup, set[TenantKey]()
    vnis = {communities.target_vni(target) for target in route.attributes.route_targets} | {_vni(route)}
    for vni in vnis - {None}:
        assert vni is not None
        network, vrf = lookup.network(Vni(vni)), lookup.holders.vrf(vni)
        found.update(() if network is None else tenants_of(core.effective, network))
        found.update(() if vrf is None else (vrf,))
    return frozenset(found)
