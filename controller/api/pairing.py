"""Pairing: the operator wants a host to serve the ports that it shares with its partner.

Place: behind `controller.api.service`; it leaves a word in the pair's lease, and the agents do it: who
holds it gives it back once the other is ready. Must not take a lease.
"""

from __future__ import annotations

from typing import Any, Protocol

from controller.store.leases import Lease
from controller.store.records import Contents
from model.errors import Conflict, Fault, NotFound
from model.ids import HostName


class Leases(Protocol):
    """The part of the store that is asked."""

    def contents(self) -> Contents: ...
    def want_lease(self, host: HostName, partner: HostName) -> Lease | None: ...


def switch_over(store: Leases, host: str) -> dict[str, Any]:
    """Who has it, and under which term. NotFound; Conflict: no partner, active already, or nobody is."""
    name = f"Hypervisor {host}"
    record = store.contents().hypervisors.get(HostName(host))
    if record is None:
        advice = "See those that exist: ringfence get hypervisors"
        raise NotFound(Fault(name, "not-found", "it does not exist", advice))
    partner = record.value.partner
    if not partner:
        raise Conflict(
            Fault(name, "no-partner", "it has no partner", "Write spec.partner in both manifests.")
        )
    lease = store.want_lease(HostName(host), partner)
    if lease is None or not lease.holder:
        message = f"neither it nor {partner} is active: whoever is ready takes it"
        raise Conflict(Fault(name, "nobody-active", message, "See: ringfence status"))
    if lease.holder == host:
        raise Conflict(Fault(name, "already-active", "it is active already", "Nothing is left to do."))
    return {"host": host, "from": lease.holder, "term": lease.term}
