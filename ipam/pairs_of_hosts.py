"""Pairs of hosts: two DPUs of one server name each other as partners, or neither does.

Place: a part of `ipam.roots`. A host that is named, and names nobody, would serve ports without asking for
the lease: so both change in one request. Must not look at who holds the lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipam.trial import Trial
from model.errors import Conflict
from model.ids import HostName
from model.intent import Hypervisor
from model.wanted import WantedHypervisor

_NOBODY = HostName("")


def partners_of(trial: Trial, wanted: Iterable[WantedHypervisor]) -> Mapping[HostName, HostName]:
    """Whom the hosts of this request, and their partners of before, name when it is done; nobody: empty."""
    asked = {want.name: want.partner for want in wanted}
    before = {name: _before(trial, name) for name in asked}
    others = {one for one in (*asked.values(), *before.values()) if one} - asked.keys()
    found = {name: _before(trial, name) for name in others}
    return found | {name: before[name] if given is None else given for name, given in asked.items()}


def check_partner(
    trial: Trial, want: WantedHypervisor, value: Hypervisor, partners: Mapping[HostName, HostName]
) -> bool:
    """Both name each other; both have agents, and neither translates for tenants: that can't change hosts."""
    named_by = [name for name, other in partners.items() if other == value.name and name != value.partner]
    both = f"Apply {value.name} and {value.partner or min(named_by, default='')} together"
    if value.partner == value.name:
        rule, what = "partner-itself", "it names itself as its partner"
        remedy = "Name the other DPU of the server."
    elif value.partner and (value.external or value.gateway):
        rule, what = "partner-duty", "an external host or a gateway can't be one of a pair"
        remedy = "Leave out spec.partner, or external and gateway."
    elif value.partner and partners.get(value.partner) != value.name:
        rule, what = "partner-one-sided", f"{value.partner} does not name {value.name} as its partner"
        remedy = f"{both}, each with the other as spec.partner."
    elif named_by:
        rule, what = "partner-one-sided", f"{min(named_by)} names it as its partner"
        remedy = f"{both}, both with or both without spec.partner."
    else:
        return True
    trial.refuse(Conflict, want, rule, what, remedy, "spec.partner")
    return False


def _before(trial: Trial, name: HostName) -> HostName:
    record = trial.draft.hypervisors.get(name)
    return _NOBODY if record is None else record.value.partner
