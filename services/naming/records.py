"""Records: what zones say, as the library has it.

Place: below `services.naming.answering`. Must not look anything up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.HINFO import HINFO
from dns.rdtypes.ANY.NS import NS
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from model.addresses import Address
from services.naming.labels import Labels

# The library gives these no types.
_Maker = Callable[..., dns.rdata.Rdata]
_MAKE_A: Final[_Maker] = A
_MAKE_AAAA: Final[_Maker] = AAAA
_MAKE_HINFO: Final[_Maker] = HINFO
_MAKE_NS: Final[_Maker] = NS
_MAKE_PTR: Final[_Maker] = PTR
_MAKE_SOA: Final[_Maker] = SOA

_IN: Final = dns.rdataclass.IN
_T = dns.rdatatype
MINIMAL: Final = _MAKE_HINFO(_IN, _T.HINFO, b"RFC8482", b"")
"""Instead of all that a name has (RFC 8482 section 4.2)."""


def spelled(labels: Labels) -> dns.name.Name:
    """As the library has names."""
    return dns.name.Name((*labels, b""))


def bear_addresses(rdtype: int, addresses: Iterable[Address]) -> tuple[dns.rdata.Rdata, ...]:
    """Those of the family that is asked for; of both, for ANY."""
    return tuple(
        _MAKE_A(_IN, _T.A, str(one)) if one.version == 4 else _MAKE_AAAA(_IN, _T.AAAA, str(one))
        for one in addresses
        if rdtype in ((_T.A if one.version == 4 else _T.AAAA), _T.ANY)
    )


def bear_authority(origin: Labels, negative: int) -> dns.rdata.Rdata:
    """The zone's SOA. Nobody may copy the zone, so its serial never has to rise."""
    host, person = spelled(origin), spelled((b"hostmaster", *origin))
    return _MAKE_SOA(_IN, _T.SOA, host, person, 1, 3600, 600, 86400, negative)


def bear_server(origin: Labels) -> dns.rdata.Rdata:
    """The zone's NS: its origin, whose addresses are the server's."""
    return _MAKE_NS(_IN, _T.NS, spelled(origin))


def point(name: Labels) -> dns.rdata.Rdata:
    """A PTR to it."""
    return _MAKE_PTR(_IN, _T.PTR, spelled(name))
