"""UPDATE messages with EVPN in them: body bytes -> routes, and back.

Place: where a peer's bytes become values: the relay splits them to keep them, the agent's client reads them.
Must not judge. Errors follow RFC 7606:

- a route whose attributes are wrong counts as withdrawn, with a fault that says why (section 2);
- so does every NLRI that can be read of an UPDATE whose attributes or NLRIs overrun (section 4), or that
  bears MP_REACH_NLRI or MP_UNREACH_NLRI twice (section 3 item g would have the session reset: one wrong
  route is not to cost the routes of all tenants);
- an NLRI that can't be read costs itself only (section 5.4);
- what can't be framed, or says nothing that can be read, is `Malformed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bgp.codec import attributes, nlri
from bgp.codec.addresses import address
from bgp.codec.malformed import Malformed
from model.route import Nlri, Route

FAMILY: Final = bytes((0x00, 0x19, 0x46))
"""AFI 25 (L2VPN), SAFI 70 (EVPN): RFC 7432 section 7."""


@dataclass(frozen=True, slots=True)
class Parts:
    """An UPDATE cut up, not read: NLRIs with their headers, `rest` = all other attributes as they stood.

    `fault`: it could be cut up in part only; then its announcements are withdrawals too.
    """

    reach: tuple[bytes, ...] = ()
    next_hop: bytes = b""
    unreach: tuple[bytes, ...] = ()
    rest: bytes = b""
    end_of_rib: bool = False
    fault: str = ""

    @property
    def gone(self) -> tuple[bytes, ...]:
        """The NLRIs that it withdraws."""
        return self.unreach if not self.fault else (*self.unreach, *self.reach)

    @property
    def fresh(self) -> tuple[bytes, ...]:
        """The NLRIs that it announces."""
        return self.reach if not self.fault else ()


@dataclass(frozen=True, slots=True)
class Update:
    """What an UPDATE says: (key, route) announced, keys withdrawn, faults found on the way."""

    announced: tuple[tuple[bytes, Route], ...] = ()
    withdrawn: tuple[bytes, ...] = ()
    end_of_rib: bool = False
    faults: tuple[str, ...] = ()


def split(body: bytes) -> Parts:
    """Cut the body of an UPDATE (after the 19-octet header, RFC 4271 section 4.3)."""
    fields, fault = attributes.cut(_attribute_field(body))
    faults = [] if fault is None else [fault]
    reach = [one.value for one in fields if one.code == attributes.MP_REACH]
    unreach = [one.value for one in fields if one.code == attributes.MP_UNREACH]
    if len(reach) > 1 or len(unreach) > 1:
        text = "MP_REACH_NLRI or MP_UNREACH_NLRI twice (RFC 7606 section 3 item g)"
        faults.append(Malformed("attribute-repeated", text))
    announced: tuple[bytes, ...] = ()
    withdrawn: tuple[bytes, ...] = ()
    next_hop = b""
    for value in reach:
        next_hop, some = _reach(value, faults)
        announced += some
    for value in unreach:
        withdrawn += _unreach(value, faults)
    # RFC 4724 section 2: End-of-RIB is an UPDATE with nothing but an empty MP_UNREACH_NLRI of the family.
    ended = len(fields) == 1 and unreach == [FAMILY] and not faults
    if not faults:
        rest = [one.raw for one in fields if one.code not in (attributes.MP_REACH, attributes.MP_UNREACH)]
        return Parts(announced, next_hop, withdrawn, b"".join(rest), ended)
    if not announced and not withdrawn:
        raise faults[0]
    return Parts(announced, next_hop, withdrawn, fault=str(faults[0]))


def join(parts: Parts) -> bytes:
    """The body of an UPDATE from its parts: the inverse of `split`."""
    data = parts.rest
    if parts.reach:
        head = FAMILY + bytes([len(parts.next_hop)]) + parts.next_hop + b"\x00"
        data += attributes.optional(attributes.MP_REACH, head + b"".join(parts.reach))
    if parts.unreach or parts.end_of_rib:
        data += attributes.optional(attributes.MP_UNREACH, FAMILY + b"".join(parts.unreach))
    return b"\x00\x00" + len(data).to_bytes(2, "big") + data


def decode(body: bytes) -> Update:
    """The body of an UPDATE as values; `Malformed` only if it can't be cut up at all."""
    return read(split(body))


def read(parts: Parts) -> Update:
    """Values from parts; never raises. A fault in the attributes turns announcements into withdrawals."""
    faults = [f"treated as withdrawn (RFC 7606 section 2): {parts.fault}"] if parts.fault else []
    gone = _keys(parts.gone, faults)
    fresh = _readable(parts.fresh, faults)
    if fresh:
        try:
            hung = attributes.read(parts.rest, address(parts.next_hop, "next hop"))
        except Malformed as fault:
            faults.append(f"treated as withdrawn (RFC 7606 section 2): {fault}")
            return Update((), (*gone, *(key for key, _ in fresh)), parts.end_of_rib, tuple(faults))
        routes = tuple((key, Route(value, hung)) for key, value in fresh)
        return Update(routes, tuple(gone), parts.end_of_rib, tuple(faults))
    return Update((), tuple(gone), parts.end_of_rib, tuple(faults))


def encode(route: Route) -> bytes:
    """The body of an UPDATE that announces one route."""
    return join(
        Parts(
            reach=(nlri.encode(route.nlri),),
            next_hop=route.attributes.next_hop.packed,
            rest=attributes.encode(route.attributes),
        )
    )


def end_of_rib() -> bytes:
    """The body of the End-of-RIB marker for EVPN (RFC 4724 section 2)."""
    return join(Parts(end_of_rib=True))


def _attribute_field(body: bytes) -> bytes:
    if len(body) < 4:
        raise Malformed("update-length", f"UPDATE body of {len(body)} octets; the shortest has 4")
    start = 4 + int.from_bytes(body[:2], "big")
    if start > len(body):
        raise Malformed("update-length", "withdrawn routes run over the end of the UPDATE")
    end = start + int.from_bytes(body[start - 2 : start], "big")
    if end > len(body):
        raise Malformed("update-length", "path attributes run over the end of the UPDATE")
    return body[start:end]


def _reach(value: bytes, faults: list[Malformed]) -> tuple[bytes, tuple[bytes, ...]]:
    """MP_REACH_NLRI: family, next hop with its length, a reserved octet, NLRIs (RFC 4760 section 3)."""
    if len(value) < 5:
        faults.append(Malformed("reach-length", f"MP_REACH_NLRI of {len(value)} octets; the shortest has 5"))
        return b"", ()
    if value[:3] != FAMILY:
        return b"", ()
    end = 4 + value[3]
    if end + 1 > len(value):
        faults.append(Malformed("reach-length", "next hop runs over the end of MP_REACH_NLRI"))
        return b"", ()
    return value[4:end], _cut(value[end + 1 :], faults)


def _unreach(value: bytes, faults: list[Malformed]) -> tuple[bytes, ...]:
    """MP_UNREACH_NLRI: family, NLRIs (RFC 4760 section 4)."""
    if len(value) < 3:
        faults.append(
            Malformed("unreach-length", f"MP_UNREACH_NLRI of {len(value)} octets; the shortest has 3")
        )
        return ()
    return _cut(value[3:], faults) if value[:3] == FAMILY else ()


def _cut(data: bytes, faults: list[Malformed]) -> tuple[bytes, ...]:
    found, fault = nlri.cut(data)
    if fault is not None:
        faults.append(fault)
    return found


def _keys(raws: tuple[bytes, ...], faults: list[str]) -> list[bytes]:
    found: list[bytes] = []
    for raw in raws:
        try:
            nlri.check(raw)
        except Malformed as fault:
            faults.append(f"skipped an NLRI: {fault}")
            continue
        found.append(nlri.key(raw))
    return found


def _readable(raws: tuple[bytes, ...], faults: list[str]) -> list[tuple[bytes, Nlri]]:
    found: list[tuple[bytes, Nlri]] = []
    for raw in raws:
        try:
            value = nlri.decode(raw)
        except Malformed as fault:
            faults.append(f"skipped an NLRI: {fault}")
            continue
        found.append((nlri.key(raw), value))
    return found
