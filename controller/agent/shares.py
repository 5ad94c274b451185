"""Shares: how many of a host's tracked connections a tenant and a port may have.

Place: a setting of the agent, read by `controller.agent.zones`. Must not import what reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONNECTIONS: Final = 1 << 24
"""More than any host tracks."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the connections that a host can track: `tenant` is a tenant's, once for its floating IPs, once more
    for what is translated for it and once more for its ports under policy; `port` what a port has however
    many others its tenant shares with.

    As they are, sixteen tenants fill the table of a kernel with its default.
    """

    tenant: int = 16_384
    port: int = 256
