"""Routes in one line for people: reports, logs, `ringfence evpn`.

Place: pure. Must not be parsed by anything.
"""

from __future__ import annotations

from bgp.codec import nlri
from bgp.prefixes import PREFERENCE
from model.addresses import format_mac
from model.route import MacRoute, MulticastRoute, PrefixRoute, Route


def text(route: Route) -> str:
    """Type, key fields, next hop and, if said, the mobility sequence."""
    body, said = route.nlri, route.attributes
    if isinstance(body, MacRoute):
        address = f" ip {body.address}" if body.address is not None else ""
        moved = f" sequence {said.sequence}" if said.sequence is not None else ""
        routed = f" l3vni {body.vni2}" if body.vni2 is not None else ""
        what = f"RT-2 mac {format_mac(body.mac)}{address} vni {body.vni}{routed}{moved}"
    elif isinstance(body, MulticastRoute):
        vni = f" vni {said.pmsi_vni}" if said.pmsi_vni is not None else ""
        what = f"RT-3 originator {body.originator}{vni}"
    elif isinstance(body, PrefixRoute):
        weight = f" preference {said.local_preference}" if said.local_preference != PREFERENCE else ""
        what = f"RT-5 prefix {body.prefix} l3vni {body.vni}{weight}"
    else:
        what = type(body).__name__
    return f"{what} rd {distinguisher(getattr(body, 'rd', b''))} via {said.next_hop}"


def distinguisher(raw: bytes) -> str:
    """`router-id:number` of type 1 (RFC 4364 section 4.2), hex for what is none."""
    value = nlri.parse_distinguisher(raw)
    if value is None:
        return raw.hex() or "-"
    octets = value.router_id.to_bytes(4, "big")
    return f"{octets[0]}.{octets[1]}.{octets[2]}.{octets[3]}:{value.local_id}"
