"""Listening: where the store listens besides its socket, and the rule that it listens nowhere in clear.

Place: asked by `server` before it starts ovsdb-server; what comes out is written anew from what was
understood, so that ovsdb-server can't read more into it. Pure. Must not look a name up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final

from model.addresses import Address
from model.errors import Fault, Invalid

_PORTS: Final = range(1 << 16)
_FORMS: Final = "Write pssl:PORT[:ADDRESS], punix:PATH or, on loopback alone, ptcp:PORT:ADDRESS."
_FLAGS: Final = "--also-cert, --also-key and --also-ca"


class Way(Enum):
    """How a client comes in, as ovsdb-server calls it."""

    UNIX = "punix"
    PLAIN = "ptcp"
    TLS = "pssl"


@dataclass(frozen=True, slots=True)
class Listening:
    """`path`: of UNIX; of the others `port`, 0: any that is free, and `address`, None: all IPv4
    addresses of this host."""

    way: Way
    path: str = ""
    port: int = 0
    address: Address | None = None

    def __str__(self) -> str:
        if self.way is Way.UNIX:
            return f"{self.way.value}:{self.path}"
        if self.address is None:
            return f"{self.way.value}:{self.port}"
        place = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.way.value}:{self.port}:{place}"


def parse_listening(text: str) -> Listening:
    """Invalid for what is no place to listen at, or is one in clear beyond loopback."""
    word, _, rest = text.partition(":")
    way = next((each for each in Way if each.value == word), None)
    if way is None or not rest:
        raise _wrong(text, "store-remote", "it is no place to listen at", _FORMS)
    if way is Way.UNIX:
        return Listening(way, path=rest)
    port, colon, place = rest.partition(":")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) in _PORTS):
        raise _wrong(text, "store-remote", f"{port!r} is no port", _FORMS)
    address = _address(text, place) if colon else None
    if way is Way.PLAIN and (address is None or not address.is_loopback):
        where = "at all addresses" if address is None else f"at {address}"
        message = f"{where} it would offer the store beyond this host, with neither TLS nor a credential"
        remedy = f"Write pssl:{port}{colon}{place} with {_FLAGS}; for this host alone ptcp:{port}:127.0.0.1."
        raise _wrong(text, "store-in-clear", message, remedy)
    return Listening(way, port=int(port), address=address)


def parse_all(texts: Iterable[str], *, certified: bool) -> tuple[Listening, ...]:
    """`certified`: the server has a certificate to show. Invalid."""
    found = tuple(parse_listening(text) for text in texts)
    over_tls = next((each for each in found if each.way is Way.TLS), None)
    if over_tls is not None and not certified:
        message = "over TLS the store shows a certificate, and demands one"
        raise _wrong(str(over_tls), "store-uncertified", message, f"Name {_FLAGS}, too.")
    if certified and over_tls is None:
        message = "it has a certificate and listens nowhere over TLS"
        fault = Fault("store", "store-uncalled", message, f"Write --also pssl:PORT, or leave out {_FLAGS}.")
        raise Invalid(fault)
    return found


def _address(text: str, place: str) -> Address:
    inner = place[1:-1] if place.startswith("[") and place.endswith("]") else place
    try:
        found = ip_address(inner)
    except ValueError:
        raise _wrong(text, "store-remote", f"{place!r} is no address", _FORMS) from None
    if (found.version == 6) != (inner != place) or "%" in inner:
        message = f"{place!r}: an IPv6 address stands in brackets, without a zone, and no other does"
        raise _wrong(text, "store-remote", message, _FORMS)
    return found


def _wrong(text: str, rule: str, message: str, remedy: str) -> Invalid:
    return Invalid(Fault(f"store remote {text}", rule, message, remedy))
