"""Names: domain names between text and octets.

Place: what DHCP and router advertisements say of names; zones are in `services.naming`. Must not look
anything up.
"""

from __future__ import annotations

import dns.exception
import dns.name


def wire(text: str) -> bytes:
    """As octets, uncompressed (RFC 1035 section 3.1, RFC 8415 section 10). ValueError if it is none."""
    return _parse(text).to_wire() or b""


def plain(text: str) -> str:
    """As text without the last dot. ValueError if it is none."""
    return _parse(text).to_text(omit_final_dot=True)


def _parse(text: str) -> dns.name.Name:
    try:
        name = dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text!r} is no domain name: {error}") from error
    if name == dns.name.root:
        raise ValueError(f"{text!r} is the root of all names, and no domain")
    return name
