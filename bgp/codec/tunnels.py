"""PMSI tunnel attribute: how replicated frames reach a VTEP (RFC 6514 section 5, RFC 7432 section 11.2).

Place: inside the attribute codec. Must not decide which kinds are used: only ingress replication is, and the
guard says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bgp.codec.addresses import address
from bgp.codec.malformed import Malformed
from model.addresses import Address
from model.ids import Vni
from model.route import Tunnel

NONE: Final = 0
RSVP: Final = 1
MULTIPOINT_LDP: Final = 2
PIM_SSM: Final = 3
PIM_SM: Final = 4
BIDIR: Final = 5
INGRESS_REPLICATION: Final = 6
MERGED_LDP: Final = 7

_HEAD: Final = 5
_PAIR: Final = (8, 32)
"""Two addresses of a family."""
_LENGTHS: Final = {NONE: (0,), RSVP: (12, 24), PIM_SSM: _PAIR, PIM_SM: _PAIR, BIDIR: _PAIR}
"""Octets of the identifiers that have a fixed form; the LDP ones carry a FEC of any length."""


@dataclass(frozen=True, slots=True)
class Pmsi:
    """`vni` and `endpoint`: of ingress replication; `other`: any other tunnel; all None: no attribute."""

    vni: Vni | None = None
    endpoint: Address | None = None
    other: Tunnel | None = None


ABSENT: Final = Pmsi()


def decode(value: bytes | None) -> Pmsi:
    """Flags, type, label, identifier. The label is a VNI (RFC 8365 section 5.1.3)."""
    if value is None:
        return ABSENT
    if len(value) < _HEAD:
        raise Malformed("pmsi-length", f"PMSI tunnel attribute of {len(value)} octets; the shortest has 5")
    kind, label, identifier = value[1], int.from_bytes(value[2:_HEAD], "big"), value[_HEAD:]
    if kind == INGRESS_REPLICATION:
        return Pmsi(Vni(label), address(identifier, "endpoint of the PMSI tunnel"))
    allowed = _LENGTHS.get(kind)
    if allowed is not None and len(identifier) not in allowed:
        text = f"identifier of {len(identifier)} octets in a PMSI tunnel of type {kind}"
        raise Malformed("pmsi-length", f"{text}; allowed is {' or '.join(map(str, allowed))}")
    return Pmsi(other=Tunnel(value[0], kind, label, identifier))


def encode(values: Pmsi) -> bytes:
    """The attribute's value; empty for none."""
    if values.vni is not None and values.endpoint is not None:
        return bytes((0, INGRESS_REPLICATION)) + values.vni.to_bytes(3, "big") + values.endpoint.packed
    if values.other is None:
        return b""
    one = values.other
    return bytes((one.flags, one.kind)) + one.label.to_bytes(3, "big") + one.identifier
