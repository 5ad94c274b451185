"""Names: for which hosts a certificate speaks.

Place: asked by the API of each certificate that an authority vouches for. Pure. Must not read the subject:
a common name is what authorities check least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from model.ids import HostName

URI: Final = "ringfence:host:"
"""Begin of a URI that names a host, for authorities that give no DNS name of one label."""


def hosts(certificate: Mapping[str, Any]) -> frozenset[HostName]:
    """All DNS names and `ringfence:host:NAME` URIs of its subjectAltName, as they are written (RFC 5280
    section 4.2.1.6). `certificate`: as SSLSocket.getpeercert gives it. A pattern is no name.
    """
    return frozenset(HostName(name) for name in _names(certificate) if name and "*" not in name)


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "DNS":
            yield value
        elif kind == "URI" and value.startswith(URI):
            yield value.removeprefix(URI)
