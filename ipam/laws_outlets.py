"""Laws of outlets: a port that a VF serves has a place for it, and keeps it.

Place: part of `ipam.laws`. Gangs have VFs of PFs on rails, ports those of PFs on none: so neither gets what
the other has, and no count is shared. That a VF serves one port alone is a claim. Must not change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipam.contents import HypervisorRecord, NodeRecord, PortRecord, SkuRecord
from ipam.needs import of_host, of_sku
from ipam.steps import Step
from ipam.trial import Trial
from model.errors import Conflict
from model.fabric import FabricKind
from model.hardware import Eswitch, PfSlot
from model.ids import HostName
from model.intent import Port
from model.outlet import Outlet
from model.wanted import Kind, Reference, title

RULE = "held-by-port"
_PATH = "spec.vf"
Objection = tuple[str, str, str]
"""Rule, message, remedy."""


def check_outlets(trial: Trial, steps: Iterable[Step]) -> None:
    """Of ports that come or change, and of those whose hardware changes."""
    for step in steps:
        match step.before, step.after:
            case _, PortRecord(value) if value.vf is not None:
                for rule, message, remedy in _misplaced(trial, value, value.vf):
                    trial.refuse(Conflict, trial.written(step.reference), rule, message, remedy, _PATH)
            case NodeRecord(old), NodeRecord(new):
                for field, was, now in (("sku", old.sku, new.sku), ("host", old.host, new.host)):
                    if was != now and (held := list(_held(trial, old.host))):
                        message = f"its {field} would become {now} instead of {was}"
                        _refuse(trial, step, message, f"spec.{field}", held)
            case HypervisorRecord(was_host), HypervisorRecord(host) if host.external:
                held = [] if was_host.external else list(_held(trial, host.name))
                if held:
                    _refuse(trial, step, "no agent of ours would be there", "spec.external", held)
            case SkuRecord(old_sku), SkuRecord(new_sku):
                _check_slots(trial, step, old_sku.pfs, new_sku.pfs)
            case _:
                pass


def _misplaced(trial: Trial, port: Port, vf: Outlet) -> Iterator[Objection]:
    """Why a VF can't serve a port, the first reason only."""
    if len(port.hosts) != 1:
        advice = "Name the one host whose VF it is, or write vf: {}."
        yield "vf-one-host", f"it has {len(port.hosts)} hosts, and a VF is in one", advice
        return
    (host,) = port.hosts
    node = _node(trial, host)
    if node is None:
        advice = f"Declare a Node with host: {host}, or choose another host."
        yield "vf-no-node", f"nothing is known of the devices of {host}: no Node has it", advice
        return
    if node.value.sku not in trial.draft.skus:
        return  # told already
    slot = trial.draft.skus[node.value.sku].value.slot(vf.pf)
    where = f"Sku {node.value.sku} of Node {node.value.name}"
    if slot is None:
        yield "vf-pf-unknown", f"{where} has no PF {vf.pf}", "Write the name of one of its PFs."
    elif slot.rail is not None:
        advice = "Gangs have those; write a PF that is on no rail."
        yield "vf-on-rail", f"PF {vf.pf} of {where} is on rail {slot.rail}", advice
    elif slot.kind is not FabricKind.ETHERNET:
        advice = "Write a PF of kind ethernet."
        yield "vf-not-ethernet", f"PF {vf.pf} of {where} speaks {slot.kind.value}", advice
    elif slot.eswitch is not Eswitch.SWITCHDEV:
        advice = "Add eswitch: switchdev to the PF: only then its VFs have representors."
        yield "vf-not-switchdev", f"nothing of VFs of PF {vf.pf} of {where} passes Open vSwitch", advice
    elif vf.index >= slot.vfs:
        message = f"PF {vf.pf} of {where} has {slot.vfs} VFs, from 0"
        yield "vf-index", message, "Write a lower index, or more vfs in the Sku."


def _check_slots(trial: Trial, step: Step, before: tuple[PfSlot, ...], after: tuple[PfSlot, ...]) -> None:
    kept = {slot.name: slot for slot in after}
    nodes = sorted(r.name for r in trial.draft.dependants(of_sku(step.reference.name)) if r.kind is Kind.NODE)
    held = [each for name in nodes for each in _held(trial, trial.draft.nodes[name].value.host)]
    for old in before:
        mine = [(reference, vf) for reference, vf in held if vf.pf == old.name]
        new = kept.get(old.name)
        if not mine or new == old:
            continue
        if new is None or (new.rail, new.kind) != (old.rail, old.kind):
            message = f"PF {old.name} would go, or be on another rail or of another kind"
        elif new.pci != old.pci:
            message = f"PF {old.name} would be at another PCI address"
        elif new.eswitch is not old.eswitch:
            message = f"PF {old.name} would have no representors"
        elif any(vf.index >= new.vfs for _, vf in mine):
            mine = [(reference, vf) for reference, vf in mine if vf.index >= new.vfs]
            message = f"PF {old.name} would have {new.vfs} VFs"
        else:
            continue
        _refuse(trial, step, message, "spec.pfs", mine)


def _held(trial: Trial, host: HostName) -> Iterator[tuple[Reference, Outlet]]:
    """Ports on a host that a VF serves, by name."""
    for tenant, name in sorted(trial.draft.uses(host)):
        vf = trial.draft.ports[tenant, name].value.vf
        if vf is not None:
            yield Reference(Kind.PORT, name, tenant), vf


def _node(trial: Trial, host: HostName) -> NodeRecord | None:
    names = sorted(r.name for r in trial.draft.dependants(of_host(host)) if r.kind is Kind.NODE)
    return trial.draft.nodes[names[0]] if names else None


def _refuse(trial: Trial, step: Step, change: str, path: str, held: list[tuple[Reference, Outlet]]) -> None:
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    first = title(held[0][0])
    message = f"{change}, and a VF there serves {first}{more}"
    advice = f"Take it off first (vf: {{}} in {first}), or delete the port."
    trial.refuse(Conflict, trial.written(step.reference), RULE, message, advice, path)
