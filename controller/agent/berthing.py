"""Berthing: what this host has of gangs, as a file that the CNI plugin reads without asking anybody.

Place: after a round of `controller.agent.settling`. The text is pure; it is replaced whole, so that a reader
never sees half of it, and only root may read it. While the store is not known the last one stays: what was
active then is still there. Must not name a device that was not seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from controller.agent.settling import Settled
from controller.store.moorings import Mooring, Moorings
from ipam.devices.desired import going, held
from ipam.gangs.wiring import gateway, prefix_length
from model.addresses import format_mac
from model.bearing import Reached
from model.fabric import Fabric, format_guid, format_pkey
from model.gang import Interface
from model.hardware import Sku, format_pci
from model.ids import HostName

PATH: Final = Path("/run/ringfence/berths.json")
VERSION: Final = 1


def document(moorings: Moorings, settled: Settled, host: HostName, stamp: int) -> dict[str, Any]:
    """`stamp`: Unix ms. Gangs by generation. `pci` is "" of a VF that is not there."""
    sku = moorings.skus[moorings.nodes[0].sku] if moorings.nodes else None
    reached = {part.generation: part.reached for part in settled.parts}
    gangs = [
        _gang(gang, moorings.fabrics.get(gang.request.fabric), sku, settled, reached.get(gang.generation))
        for gang in moorings.gangs
        if held(gang.progress) or going(gang.progress)
    ]
    return {"version": VERSION, "stamp": stamp, "host": host, "gangs": gangs}


def _gang(
    gang: Mooring, fabric: Fabric | None, sku: Sku | None, settled: Settled, reached: Reached | None
) -> dict[str, Any]:
    places = {slot.name: slot.pci for slot in sku.pfs} if sku is not None else {}
    seen = {
        (pf.pci, vf.index): format_pci(vf.pci) for pf in settled.found for vf in pf.vfs if vf.pci is not None
    }
    request = gang.request
    return {
        "tenant": request.tenant,
        "name": request.name,
        "generation": gang.generation,
        "state": gang.progress.state.value,
        "reached": (reached or Reached.NOTHING).value,
        "pkey": format_pkey(gang.pkey) if gang.pkey else "",
        "for": request.use.value,
        "membership": request.membership.value,
        "fabric": request.fabric,
        "kind": "" if fabric is None else fabric.kind.value,
        "interfaces": [
            _interface(each, fabric, seen.get((places[each.pf], each.vf), "") if each.pf in places else "")
            for each in gang.berth.interfaces
        ],
    }


def _interface(each: Interface, fabric: Fabric | None, pci: str) -> dict[str, Any]:
    rail = None if fabric is None else fabric.rail(each.rail)
    found: dict[str, Any] = {"pf": each.pf, "vf": each.vf, "pci": pci, "rail": each.rail}
    found["railName"] = "" if rail is None else rail.name
    if fabric is not None:
        found["addresses"] = [f"{a}/{prefix_length(a, fabric)}" for a in each.addresses]
        gateways = [str(g) for a in each.addresses if (g := gateway(a, fabric)) is not None]
        found |= {"gateway": gateways} if gateways else {}
    found |= {"mac": format_mac(each.mac)} if each.mac else {}
    if each.port_guid:
        found |= {"nodeGuid": format_guid(each.node_guid), "portGuid": format_guid(each.port_guid)}
    return found


class Berthing:
    """`now`: Unix ms."""

    def __init__(self, path: Path, host: HostName, now: Callable[[], int]) -> None:
        self._path, self._host, self._now = path, host, now

    def __call__(self, moorings: Moorings, settled: Settled) -> None:
        """Replace the file; OSError if that fails."""
        text = json.dumps(document(moorings, settled, self._host, self._now()), separators=(",", ":"))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)  # left behind by a crash, or put there by somebody
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        fresh.replace(self._path)
