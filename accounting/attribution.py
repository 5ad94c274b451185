"""Attribution: whose a port is and what a class is called, by a host's snapshot.

Place: given to `accounting.count` by the meter at each reading. Pure. Must not hold what it saw before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from accounting.classes import class_of
from accounting.records import Owner
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, ClassId, PortKey
from model.snapshot import Snapshot

BUILT_IN: Final[Mapping[ClassId, str]] = {SAME_NETWORK: "same-network", EVERYTHING_ELSE: "everything-else"}
"""Names of the classes that need no manifest."""


@dataclass(frozen=True, slots=True)
class SnapshotCatalogue:
    """A `Catalogue` over one snapshot."""

    snapshot: Snapshot

    def owner(self, port: PortKey) -> Owner | None:
        """None if the port, its network or its tenant is not in the snapshot."""
        known = self.snapshot.ports.get(port)
        network = None if known is None else self.snapshot.networks.get(known.network)
        tenant = None if network is None else self.snapshot.tenants.get(network.tenant)
        if known is None or network is None or tenant is None:
            return None
        return Owner(
            port_uid=known.uid,
            port_name=known.name,
            tenant_uid=tenant.uid,
            tenant_name=tenant.name,
            network_uid=network.uid,
            network_name=network.name,
        )

    def class_name(self, class_id: ClassId) -> str:
        """A declared class's name, a built-in one's, or `class-N`; the same for both directions."""
        plain = class_of(class_id)
        declared = self.snapshot.classes.get(plain)
        return declared.name if declared is not None else BUILT_IN.get(plain, f"class-{plain}")
