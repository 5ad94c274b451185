"""Berths as an agent writes them, and configurations as a runtime sends them, for tests of the CNI plugin.

Place: unit tests and the lab of `controller/cni`. Must not use the plugin's own reader.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def interface(number: int, **changes: Any) -> dict[str, Any]:
    """VF `number` of PF `rail0` at 0000:18:00.0, with a /24."""
    made = {
        "pf": "rail0",
        "vf": number,
        "pci": f"0000:18:01.{number}",
        "rail": 0,
        "railName": "rail0",
        "addresses": [f"10.128.0.{10 + number}/24", f"2001:db8:1::{10 + number}/64"],
        "gateway": ["10.128.0.1", "2001:db8:1::1"],
        "mac": f"02:00:00:00:00:{number:02x}",
        "nodeGuid": "",
        "portGuid": "",
    }
    return made | changes


def gang(interfaces: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Active, of tenant acme."""
    made = {
        "tenant": "acme",
        "name": "train",
        "generation": 7,
        "state": "active",
        "reached": "up",
        "pkey": 0,
        "membership": "full",
        "fabric": "east",
        "kind": "roce",
        "interfaces": list(interfaces),
    }
    return made | changes


def page(*gangs: dict[str, Any]) -> str:
    """The file."""
    return json.dumps({"version": 1, "stamp": 1_700_000_000_000, "host": "hv1", "gangs": list(gangs)})
