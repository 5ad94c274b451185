"""Wiring: how long the prefix of an interface's address is, and who answers at the other end.

Place: arithmetic beside `slots`, for whoever configures an interface: CNI, cloud-init. Must not know who
holds what.
"""

from __future__ import annotations

from ipam.gangs.slots import address, block_length
from model.addresses import Address
from model.fabric import Addressing, Fabric


def prefix_length(one: Address, fabric: Fabric) -> int:
    """Of the subnet that is on the link: two addresses by LINK, a block by NODE and TENANT."""
    if fabric.addressing is Addressing.LINK:
        return one.max_prefixlen - 1
    return block_length(fabric, one.version)


def gateway(one: Address, fabric: Fabric) -> Address | None:
    """The leaf's address on that link; None by TENANT: its subnet ends at the rail. LINK: the even one of the
    two. NODE: the second one of the block (see `slots.rows`)."""
    if fabric.addressing is Addressing.TENANT:
        return None
    span = 1 << one.max_prefixlen - prefix_length(one, fabric)
    base = int(one) // span * span
    return address(one.version, base if fabric.addressing is Addressing.LINK else base + 1)
