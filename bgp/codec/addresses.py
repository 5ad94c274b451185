"""IP addresses as BGP carries them: 4 or 16 octets, their length in bits or octets before them.

Place: shared by the NLRI and attribute codecs. Must not accept any other length.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from bgp.codec.malformed import Malformed
from model.addresses import Address


def address(raw: bytes, what: str) -> Address:
    """The address in 4 or 16 octets; `what` names the field in the error."""
    if len(raw) == 4:
        return IPv4Address(raw)
    if len(raw) == 16:
        return IPv6Address(raw)
    raise Malformed("address-length", f"{what} has {len(raw)} octets; an address has 4 or 16")
