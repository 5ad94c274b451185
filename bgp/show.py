"""Routes in one line for people: reports, logs, `ringfence evpn`.

Place: pure. Must not be parsed by anything.
"""

from __future__ import annotations

from typing import Final

from bgp.codec import nlri
from bgp.prefixes import PREFERENCE
from bgp.segments import is_whole
from model.addresses import format_mac
from model.route import Attributes, DiscoveryRoute, MacRoute, MulticastRoute, PrefixRoute, Route, SegmentRoute
from model.segments import NO_SEGMENT, segment_text

_ELECTION: Final = bytes((0x06, 0x06))


def text(route: Route) -> str:
    """Type, key fields, next hop and, if said, the mobility sequence."""
    body, said = route.nlri, route.attributes
    if isinstance(body, MacRoute):
        address = f" ip {body.address}" if body.address is not None else ""
        moved = f" sequence {said.sequence}" if said.sequence is not None else ""
        routed = f" l3vni {body.vni2}" if body.vni2 is not None else ""
        behind = f" segment {segment_text(body.esi)}" if body.esi != NO_SEGMENT else ""
        what = f"RT-2 mac {format_mac(body.mac)}{address} vni {body.vni}{routed}{moved}{behind}"
    elif isinstance(body, MulticastRoute):
        vni = f" vni {said.pmsi_vni}" if said.pmsi_vni is not None else ""
        what = f"RT-3 originator {body.originator}{vni}"
    elif isinstance(body, PrefixRoute):
        weight = f" preference {said.local_preference}" if said.local_preference != PREFERENCE else ""
        what = f"RT-5 prefix {body.prefix} l3vni {body.vni}{weight}"
    elif isinstance(body, DiscoveryRoute):
        what = f"RT-1 segment {segment_text(body.esi)} {_shared(body, said)}"
    elif isinstance(body, SegmentRoute):
        what = f"RT-4 segment {segment_text(body.esi)} originator {body.originator}{_elected(said)}"
    else:
        what = type(body).__name__
    return f"{what} rd {distinguisher(getattr(body, 'rd', b''))} via {said.next_hop}"


def _shared(body: DiscoveryRoute, said: Attributes) -> str:
    """What an RT-1 is of, and how its segment is shared (RFC 7432 section 7.5)."""
    if not is_whole(body):
        return f"vni {body.vni}" if not body.etag else f"vni {body.vni} tag {body.etag}"
    label = said.segment_label
    if label is None:
        return "whole"
    return f"whole {'single' if label.single_active else 'all'}-active label {label.label}"


def _elected(said: Attributes) -> str:
    """By which rule a VTEP takes part in the election of the designated forwarder (RFC 8584 section 2.2: the
    low 5 bits of the first octet; the preference of algorithm 2 in the last two, RFC 9785 section 3)."""
    for one in said.extended:
        if one[:2] == _ELECTION:
            weight = f" election preference {int.from_bytes(one[6:8], 'big')}" if one[2] & 31 == 2 else ""
            return f" election algorithm {one[2] & 31}{weight}"
    return ""


def distinguisher(raw: bytes) -> str:
    """`router-id:number` of type 1 (RFC 4364 section 4.2), hex for what is none."""
    value = nlri.parse_distinguisher(raw)
    if value is None:
        return raw.hex() or "-"
    octets = value.router_id.to_bytes(4, "big")
    return f"{octets[0]}.{octets[1]}.{octets[2]}.{octets[3]}:{value.local_id}"
