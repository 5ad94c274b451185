"""Doubles: MACs and addresses that several hosts say they have, and what this host does about it, in rows.

Place: a part of `controller.agent.glass`, and what answers the operator's release. Pure. Must not release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from bgp import guard, moves
from bgp.table import HELD, NO_KEYS, Table, address_order, entity
from bgp.trail import Place, Spot
from controller.agent.core import Core
from controller.agent.seeking import Choice, malformed
from controller.agent.titles import network_title, tenants_of
from model.addresses import Address, format_mac, parse_mac
from model.ids import NetworkKey
from model.route import MacRoute, RemoteMac

Row = dict[str, Any]


def duplicates(core: Core, wanted: Choice, now: float) -> Iterator[Row]:
    """`damped`: stays where it is; `moving`: moved lately, more than once; `fought`: a port of this host that
    others say they have, `lost`: so often that its sequence is not raised any more."""
    table = core.table
    for spot, damped in table.damped.items():
        if _meant(core, wanted, spot, damped.place):
            row = _row(core, spot, damped.place) | {"state": "damped", "moves": damped.moves}
            yield row | {"seconds": max(int(now - damped.since), 0), "contenders": _contenders(table, spot)}
    for spot, trail in table.trails.items():
        if len(trail.moves) > 1 and spot not in table.damped and _meant(core, wanted, spot, trail.last):
            row = _row(core, spot, trail.last) | {"state": "moving", "moves": len(trail.moves)}
            yield row | {"seconds": max(int(now - trail.at), 0), "contenders": _contenders(table, spot)}
    yield from _fought(core, wanted, now)


def _fought(core: Core, wanted: Choice, now: float) -> Iterator[Row]:
    snapshot, table = core.effective, core.table
    this = snapshot.this()
    for key, times in table.contests.items():
        port = snapshot.ports.get(key)
        if port is None or this is None or not snapshot.bound_here(key):
            continue
        if not wanted.takes(2, tenants_of(snapshot, port.network), port.mac, port.addresses):
            continue
        others = {
            one.route.attributes.next_hop
            for one in table.refused.values()
            if one.code == guard.ELSEWHERE
            and isinstance(one.route.nlri, MacRoute)
            and one.route.nlri.mac == port.mac
        }
        yield {
            "order": (port.network, format_mac(port.mac), ""),
            "network": network_title(snapshot, port.network),
            "mac": format_mac(port.mac),
            "addresses": [str(a) for a in port.addresses],
            "vtep": str(this.vtep),
            "state": "lost" if moves.is_lost(table, key) else "fought",
            "moves": len(times),
            "seconds": max(int(now - times[-1]), 0),
            "contenders": [str(a) for a in sorted(others, key=address_order)],
        }


def spot_of(text: str) -> Spot:
    """What the operator wants released: the text of a question; Invalid if it is none."""
    try:
        plain = json.loads(text)
        network, what = plain["network"], str(plain["what"])[:100]
        if isinstance(network, bool) or not isinstance(network, int):
            raise ValueError("network is no number")
        if what.count(":") == 5 and len(what) == 17:
            return ("mac", NetworkKey(network), parse_mac(what))
        return ("address", NetworkKey(network), ip_address(what))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise malformed(error) from error


def released(core: Core, spot: Spot) -> Row:
    """What the release of `spot` ends; no rows if it is not damped here."""
    damped = core.table.damped.get(spot)
    rows = [] if damped is None else [_row(core, spot, damped.place) | {"moves": damped.moves}]
    for row in rows:
        row.pop("order")
    return {"rows": rows, "left": 0}


def _meant(core: Core, wanted: Choice, spot: Spot, place: Place) -> bool:
    return wanted.takes(2, tenants_of(core.effective, spot[1]), place.mac, _addresses(place))


def _addresses(place: Place) -> tuple[Address, ...]:
    return place.addresses if isinstance(place, RemoteMac) else (place.address,)


def _row(core: Core, spot: Spot, place: Place) -> Row:
    addresses = [str(a) for a in _addresses(place)]
    return {
        "order": (spot[1], format_mac(place.mac), " ".join(addresses)),
        "network": network_title(core.effective, spot[1]),
        "mac": format_mac(place.mac),
        "addresses": addresses,
        "vtep": str(place.vtep),
    }


def _contenders(table: Table, spot: Spot) -> list[str]:
    """The VTEPs of all accepted claims."""
    vteps: set[Address] = set()
    for key in table.entities.get(spot, NO_KEYS):
        for one, peer in table.standing(key):
            claim = (table.held[one] if peer == HELD else table.live[one, peer]).claim
            if entity(claim) == spot:
                vteps.add(claim.vtep)
    return [str(vtep) for vtep in sorted(vteps, key=address_order)]
