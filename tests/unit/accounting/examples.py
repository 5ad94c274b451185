"""Values that the accounting tests share: runs, owners, intervals, a catalogue over plain dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accounting.records import Balance, Cause, Gap, Interval, Owner, Run
from model.ids import ClassId, HostName, PortKey

RUN = Run(HostName("hv1"), "boot-a", "start-1")
SECOND_RUN = Run(HostName("hv1"), "boot-a", "start-2")


def owner_of(port: int, tenant: str = "blue") -> Owner:
    return Owner(f"uid-{port}", f"vm{port}", f"uid-{tenant}", tenant, f"uid-{tenant}-net", "net")


@dataclass
class Names:
    """A catalogue that knows every port but those in `strangers`."""

    strangers: set[int] = field(default_factory=set)
    owners: dict[int, Owner] = field(default_factory=dict)

    def owner(self, port: PortKey) -> Owner | None:
        return None if port in self.strangers else self.owners.get(port, owner_of(port))

    def class_name(self, class_id: ClassId) -> str:
        return {0: "same-network", 1: "everything-else"}.get(class_id, f"class-{class_id}")


def interval(sequence: int = 1, **changes: Any) -> Interval:
    values: dict[str, Any] = {
        "run": RUN,
        "series": (PortKey(7), ClassId(1), 3),
        "owner": owner_of(7),
        "class_name": "everything-else",
        "sequence": sequence,
        "from_ms": 1_000,
        "to_ms": 2_000,
        "packets": 10,
        "bytes": 1_000,
        "datapath": "netdev",
        "header_bytes": 14,
        "counter": (10, 1_140),
    }
    return Interval(**(values | changes))


def gap(sequence: int = 1, **changes: Any) -> Gap:
    values: dict[str, Any] = {
        "run": RUN,
        "port": PortKey(7),
        "owner": owner_of(7),
        "cause": Cause.RUN_ENDED,
        "sequence": sequence,
        "from_ms": 1_000,
        "to_ms": 2_000,
        "bound": 500,
    }
    return Gap(**(values | changes))


def balance(sequence: int = 1, **changes: Any) -> Balance:
    values: dict[str, Any] = {
        "run": RUN,
        "port": PortKey(7),
        "owner": owner_of(7),
        "sequence": sequence,
        "from_ms": 1_000,
        "to_ms": 2_000,
        "wire_bytes": 1_200,
        "counted_bytes": 1_140,
    }
    return Balance(**(values | changes))
