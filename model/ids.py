"""Typed ids and marks: small integers for registers and cookies, names and UUIDs for people and stores.

Place: the lowest layer of the vocabulary. Must not hold behaviour beyond range checks.
"""

from __future__ import annotations

from typing import Final, NewType

Uid = NewType("Uid", str)
"""RFC 9562 UUID in lower-case text. The uid of a Port is its OVS `external_ids:iface-id`."""
HostName = NewType("HostName", str)
"""Name of a Hypervisor = Open_vSwitch `external_ids:system-id` on that host."""
TenantKey = NewType("TenantKey", int)
"""16 bits, 1..65535, allocated in the store."""
NetworkKey = NewType("NetworkKey", int)
"""16 bits, 1..65535, allocated in the store; also the local id in the network's route distinguisher."""
PortKey = NewType("PortKey", int)
"""24 bits, 1..16777215, allocated in the store."""
Vni = NewType("Vni", int)
"""VXLAN network identifier, 24 bits, 1..16777215 (RFC 7348 section 5)."""
ClassId = NewType("ClassId", int)
"""Egress class, 8 bits. 0 and 1 are built in; manifests get 2..255."""
Mac = NewType("Mac", int)
"""IEEE 802 MAC address as a 48-bit integer."""

SAME_NETWORK: Final = ClassId(0)
"""Egress class of packets whose destination lies in the source's own network."""
EVERYTHING_ELSE: Final = ClassId(1)
"""Egress class of what no other class takes."""

TENANT_KEYS: Final = range(1, 1 << 16)
NETWORK_KEYS: Final = range(1, 1 << 16)
PORT_KEYS: Final = range(1, 1 << 24)
VNIS: Final = range(1, 1 << 24)
PROBE_VNI: Final = Vni(16777214)
"""Of the path probes between hosts: no network, tenant, peering or external network ever has it."""
RATES: Final = range(64, 400_000_001)
"""Limits of a port in kbit/s: below, not even a few full packets a second would pass; above is no port."""
DECLARED_CLASSES: Final = range(2, 1 << 8)

OWNER: Final = "ringfence"
"""Key of `external_ids` that marks OVSDB rows as ours."""
METERS: Final = range(1, 1 << 18)
"""Ids of meters that are ours; meters outside are never touched."""
ANSWERING: Final = 0x52F1
"""By which Open vSwitch knows the connection of who answers ports' questions."""
COOKIE_MARK: Final = 0x52F1
"""Upper 16 bits of the cookie of every flow that is ours; flows without it are never touched."""
