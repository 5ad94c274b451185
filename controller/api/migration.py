"""Migration: a port shall move to another host, at once or as soon as its workload says that it is there.

Place: builds the plan for `controller.api.service`; the target's agent claims the port (docs/decisions/0017).
Pure. Must not move a binding itself: only the host where the workload runs knows that it does.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from controller.store.records import Contents, PortRecord
from ipam.steps import Plan, Step, Verb
from model.errors import Conflict, Fault, NotFound
from model.ids import HostName
from model.wanted import Kind, Reference, title

_NOWHERE = HostName("")


class Moment(Enum):
    """When the target takes over: when the workload ANNOUNCEs itself there (RARP, gratuitous ARP), or NOW."""

    ANNOUNCED = "announced"
    NOW = "now"


def plan_migration(contents: Contents, port: Reference, target: HostName, moment: Moment, now: int) -> Plan:
    """The port's hosts have the target too, and it is told. NotFound; Conflict: unbound, there already, a
    target without an agent."""
    record = _port(contents, port)
    binding = contents.bindings.get(record.value.key)
    hypervisor = contents.hypervisors.get(target)
    if hypervisor is None:
        advice = "See those that exist: ringfence get hypervisor"
        raise NotFound(Fault(f"Hypervisor {target}", "not-found", "it does not exist", advice))
    if hypervisor.value.external:
        message = f"{target} is external: no agent runs there that could take the port over"
        raise Conflict(Fault(title(port), "external-host", message, "Name a host with an agent."))
    if binding is None or not binding.active:
        message = "it is bound nowhere, so there is nothing to move"
        raise Conflict(Fault(title(port), "not-bound", message, f"Plug it in on {target}."))
    if binding.host == target:
        raise Conflict(
            Fault(title(port), "already-there", f"it is bound on {target}", "Nothing is left to do.")
        )
    _check_free(port, record)
    hosts = tuple(sorted({*record.value.hosts, target}))
    value = replace(record.value, hosts=hosts, migration=target, activate=moment is Moment.NOW)
    return _change(port, record, replace(record, value=value), now)


def plan_cancellation(contents: Contents, port: Reference, now: int) -> Plan:
    """The port stays where it is bound; its hosts stay as they are."""
    record = _port(contents, port)
    if not record.value.migration:
        raise Conflict(Fault(title(port), "not-moving", "it is not moving", "Nothing is left to do."))
    value = replace(record.value, migration=_NOWHERE, activate=False)
    return _change(port, record, replace(record, value=value), now)


def plan_forgetting(contents: Contents, port: Reference, host: HostName, now: int) -> Plan:
    """The port may not be on that host any more, be it that it was moving there or that it came from there.
    NotFound; Conflict: none of its hosts, or the one where it lives."""
    record = _port(contents, port)
    value = record.value
    if host not in value.hosts:
        message = f"{host} is none of its hosts: {', '.join(value.hosts) or 'none'}"
        raise Conflict(Fault(title(port), "not-its-host", message, "Nothing is left to do."))
    binding = contents.bindings.get(value.key)
    if binding is not None and binding.active and binding.host == host:
        advice = "Move it first: ringfence migrate PORT --to HOST; or unplug it there."
        raise Conflict(Fault(title(port), "still-bound", f"it is bound on {host}", advice))
    _check_free(port, record)
    value = replace(value, hosts=tuple(one for one in value.hosts if one != host))
    if value.migration == host:
        value = replace(value, migration=_NOWHERE, activate=False)
    return _change(port, record, replace(record, value=value), now)


def _check_free(port: Reference, record: PortRecord) -> None:
    if record.value.vf is not None:
        message = f"VF {record.value.vf.index} of {record.value.vf.pf} serves it, which stays where it is"
        raise Conflict(Fault(title(port), "vf-stays", message, "Write vf: {} in the port first."))


def _port(contents: Contents, port: Reference) -> PortRecord:
    found = contents.find(port)
    if not isinstance(found, PortRecord) or port.kind is not Kind.PORT:
        advice = "See those that exist: ringfence get port"
        raise NotFound(Fault(title(port), "not-found", "it does not exist", advice))
    return found


def _change(port: Reference, before: PortRecord, after: PortRecord, now: int) -> Plan:
    verb = Verb.UNCHANGED if before == after else Verb.CHANGE
    return Plan((Step(verb, port, before, after),), now=now)
