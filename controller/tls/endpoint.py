"""Endpoint: `tls:HOST:PORT` as it is written in flags.

Place: parsed at the edge, by the flags of API and agent. Pure. Must not look a name up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

HEAD: Final = "tls:"
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_PORTS: Final = range(1, 1 << 16)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host`: a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{HEAD}[{self.host}]:{self.port}" if ":" in self.host else f"{HEAD}{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """A server's. ValueError for anything but `tls:NAME:PORT`, `tls:A.B.C.D:PORT`, `tls:[IPv6]:PORT`."""
    place, colon, port = text.removeprefix(HEAD).rpartition(":")
    if not text.startswith(HEAD) or not colon or not (port.isascii() and port.isdigit() and len(port) < 6):
        raise ValueError(f"{text!r} is not {HEAD}HOST:PORT")
    if int(port) not in _PORTS:
        raise ValueError(f"{text!r}: there is no such port")
    if place.startswith("[") and place.endswith("]"):
        found = ip_address(place[1:-1])
        if found.version != 6:
            raise ValueError(f"{text!r}: only IPv6 addresses have brackets")
        return Endpoint(str(found), int(port))
    if not _NAME.fullmatch(place):
        raise ValueError(f"{text!r}: {place!r} is no name and no address")
    return Endpoint(place, int(port))


def parse_place(text: str) -> Endpoint:
    """Where to listen: as `parse_endpoint`, but an address and no name. ValueError."""
    found = parse_endpoint(text)
    return Endpoint(str(ip_address(found.host)), found.port)
