"""What must be matched before each field: OVS refuses a flow without it, or forgets a part of it.

Place: read by check. Must not hold flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.flow import Field, Match
from pipelines import fields as f


@dataclass(frozen=True, slots=True)
class Need:
    """One of `values` of `field` must be matched (or written) before the field that needs it; with `mask`
    these bits of it, and maybe others. No values: any one."""

    field: Field
    values: tuple[int, ...]
    mask: int | None = None

    def met(self, term: Match | None) -> bool:
        """Whether this term of a match says what is needed."""
        if term is None:
            return False
        if self.mask is None:
            return term.mask is None and (not self.values or term.value in self.values)
        looked = -1 if term.mask is None else term.mask
        if not isinstance(term.value, int) or not isinstance(looked, int):
            return False
        return looked & self.mask == self.mask and term.value & self.mask in self.values


_IS_ARP = (Need(f.ETH_TYPE, (f.ARP,)),)
_IS_IPV4 = (Need(f.ETH_TYPE, (f.IPV4,)),)
_IS_IPV6 = (Need(f.ETH_TYPE, (f.IPV6,)),)
_IS_IP = (Need(f.ETH_TYPE, (f.IPV4, f.IPV6)),)
_IS_UDP = (*_IS_IP, Need(f.IP_PROTO, (f.UDP,)))
_IS_TCP = (*_IS_IP, Need(f.IP_PROTO, (f.TCP,)))
_IS_SCTP = (*_IS_IP, Need(f.IP_PROTO, (f.SCTP,)))
_IS_ICMP = (*_IS_IPV4, Need(f.IP_PROTO, (f.ICMP,)))
_IS_ICMPV6 = (*_IS_IPV6, Need(f.IP_PROTO, (f.ICMPV6,)))
_IS_ND = (
    *_IS_ICMPV6,
    Need(f.ICMPV6_TYPE, (f.NEIGHBOR_SOLICITATION, f.NEIGHBOR_ADVERTISEMENT)),
    Need(f.ICMPV6_CODE, (0,)),
)

IS_IP: Final = _IS_IP[0]

_TRACKED = Need(f.CT_STATE, (f.CT_TRACKED,), f.CT_TRACKED | f.CT_INVALID)
"""Its bits say that the packet has a tuple; OVS would take others, such as `new` alone."""
_IS_TRACKED4 = (*_IS_IPV4, _TRACKED)
_IS_TRACKED6 = (*_IS_IPV6, _TRACKED)
_IS_TRACKED = (*_IS_IP, _TRACKED)

PREREQUISITES: Final[tuple[tuple[Field, tuple[Need, ...]], ...]] = (
    *((each, _IS_ARP) for each in (f.ARP_OP, f.ARP_SPA, f.ARP_TPA, f.ARP_SHA, f.ARP_THA)),
    *((each, _IS_IPV4) for each in (f.IP_SRC, f.IP_DST)),
    *((each, _IS_IPV6) for each in (f.IPV6_SRC, f.IPV6_DST)),
    *((each, _IS_IP) for each in (f.IP_PROTO, f.IP_FRAG, f.NW_TTL, f.IP_DSCP)),
    *((each, _IS_UDP) for each in (f.UDP_SRC, f.UDP_DST)),
    *((each, _IS_TCP) for each in (f.TCP_SRC, f.TCP_DST)),
    *((each, _IS_SCTP) for each in (f.SCTP_SRC, f.SCTP_DST)),
    *((each, _IS_TRACKED4) for each in (f.CT_SRC, f.CT_DST)),
    *((each, _IS_TRACKED6) for each in (f.CT_SRC6, f.CT_DST6)),
    (f.CT_PROTO, _IS_TRACKED),
    *((each, (*_IS_TRACKED, Need(f.CT_PROTO, ()))) for each in (f.CT_SPORT, f.CT_DPORT)),
    *((each, _IS_ICMP) for each in (f.ICMP_TYPE, f.ICMP_CODE)),
    *((each, _IS_ICMPV6) for each in (f.ICMPV6_TYPE, f.ICMPV6_CODE)),
    *((each, _IS_ND) for each in (f.ND_TARGET, f.ND_RESERVED, f.ND_OPTIONS_TYPE)),
    (f.ND_SLL, (*_IS_ICMPV6, Need(f.ICMPV6_TYPE, (f.NEIGHBOR_SOLICITATION,)), Need(f.ICMPV6_CODE, (0,)))),
    (f.ND_TLL, (*_IS_ICMPV6, Need(f.ICMPV6_TYPE, (f.NEIGHBOR_ADVERTISEMENT,)), Need(f.ICMPV6_CODE, (0,)))),
)
"""What ovs-fields(7) asks to be matched first, in this order; OVS refuses a flow without it."""


def prerequisites(field: Field) -> tuple[Need, ...]:
    """What has to stand before `field` in a match or an action list; nothing for most fields."""
    return next((needs for each, needs in PREREQUISITES if each == field), ())
