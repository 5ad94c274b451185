"""The tables by which ports ask whoever answers names and metadata, and are answered (docs/decisions/0063).

Place: listed in `pipelines.tables`, behind everything: packets come here from services and classify, and
leave from here. Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table

_PORTS: Final = (f.IP_PROTO, f.UDP_SRC, f.UDP_DST, f.TCP_SRC, f.TCP_DST)

SERVED: Final = Table(
    number=130,
    name="served",
    purpose="Of what is sent to an address of ours, on any link and to any MAC: questions for names by UDP"
    " and TCP, and requests for metadata go on. Nothing that is sent there ever goes anywhere else.",
    matches=(f.ETH_TYPE, f.IP_DST, f.IPV6_DST, f.IP_FRAG, *_PORTS),
    writes=(),
    next=("aliased",),
    miss="drop: nothing is served there",
)
ALIASED: Final = Table(
    number=131,
    name="aliased",
    purpose="Writes the port's alias in the place of its address, and hands the packet to ringfenced"
    " services, as much as the port's meter lets through. The port is known by where the packet came in.",
    matches=(f.SOURCE.field, f.ETH_TYPE, f.IP_SRC, f.IPV6_SRC),
    writes=(f.ETH_DST, f.IP_SRC, f.IPV6_SRC),
    next=(),
    miss="drop: nobody answers on this host, or not to this address",
)
REPLIED: Final = Table(
    number=132,
    name="replied",
    purpose="Of what ringfenced services sends: answers of what it serves go on, and nothing else.",
    matches=(f.ETH_TYPE, f.IP_SRC, f.IPV6_SRC, *_PORTS),
    writes=(),
    next=("restored",),
    miss="drop: no answer",
)
RESTORED: Final = Table(
    number=133,
    name="restored",
    purpose="Writes the port's address in the place of its alias, and sends it to the port, as the gateway.",
    matches=(f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(f.ETH_SRC, f.ETH_DST, f.IP_DST, f.IPV6_DST),
    next=(),
    miss="drop: the port that asked is no longer here",
)
SERVING: Final = (SERVED, ALIASED, REPLIED, RESTORED)
