"""Laws of policies: those of one tenant never make a host hold more than it can beside those of others.

Place: part of `ipam.laws`. A tenant without policies costs nothing; one with some costs a multiplication, and
is counted port by port only if that could be too much. Must not change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ipam.burdens import NOTHING, SUBJECTS, Part, weigh
from ipam.census import Census, Counted
from ipam.contents import NetworkRecord, PolicyRecord, PortRecord
from ipam.draft import Draft
from ipam.needs import of_tenant
from ipam.steps import Step
from ipam.trial import Trial
from model.errors import Exhausted
from model.policy import Policy
from model.wanted import Kind, Reference, WantedPolicy

MOST_FLOWS: Final = 200_000
"""Of one tenant on one host. What a host needs for so many is measured in docs/performance.md."""
_SHOWN: Final = 3


def check_policies(trial: Trial, steps: Iterable[Step]) -> None:
    """Judge the tenants whose policies, or those whom they take, are others by these steps."""
    about: dict[str, list[Reference]] = {}
    for step in steps:
        for tenant in _heavier(step):
            about.setdefault(tenant, []).append(step.reference)
    for tenant in sorted(about):
        draft = trial.draft
        if draft.burden(tenant) == NOTHING or most(draft, tenant) <= MOST_FLOWS:
            continue
        parts = parts_of(draft, tenant)
        total = sum(part.total for part in parts)
        # What was written before there was a limit must not stop what makes it no heavier.
        if total > MOST_FLOWS and total > sum(part.total for part in parts_of(trial.before(), tenant)):
            _refuse(trial, tenant, about[tenant], parts)


def most(draft: Draft, tenant: str) -> int:
    """No host holds more flows for a tenant's policies; costs its networks, not its ports."""
    ports, addresses = draft.population(tenant)
    return draft.burden(tenant).most(ports, addresses)


def parts_of(draft: Draft, tenant: str) -> tuple[Part, ...]:
    """What each rule of a tenant makes, exactly; costs its ports."""
    return weigh(_policies(draft, tenant), Census(counted(draft, tenant)))


def counted(draft: Draft, tenant: str) -> Iterator[Counted]:
    """A tenant's ports."""
    for network in draft.networks_of(tenant):
        labels = draft.networks[tenant, network].value.labels
        for name in draft.members(tenant, network):
            port = draft.ports[tenant, name].value
            yield Counted(name, port.labels, network, labels, len(port.addresses))


def _heavier(step: Step) -> Iterator[str]:
    """The tenant that a step may make heavier."""
    match step.before, step.after:
        case _, PolicyRecord(_, str(tenant)):
            yield tenant
        case before, PortRecord(value, tenant):
            known = before.value if isinstance(before, PortRecord) else None
            if known is None or (known.labels, known.addresses) != (value.labels, value.addresses):
                yield tenant
        case NetworkRecord(before), NetworkRecord(after, tenant) if before.labels != after.labels:
            yield tenant
        case _:
            pass


def _policies(draft: Draft, tenant: str) -> Iterator[Policy]:
    for reference in draft.dependants(of_tenant(tenant)):
        if reference.kind is Kind.SECURITY_POLICY:
            yield draft.policies[tenant, reference.name].value.policy


def _refuse(trial: Trial, tenant: str, steps: Sequence[Reference], parts: Sequence[Part]) -> None:
    heaviest = sorted(parts, key=lambda part: -part.total)
    policies = [Reference(Kind.SECURITY_POLICY, part.place.policy, tenant) for part in heaviest]
    written = [policy for policy in policies if policy in steps]
    blamed = trial.written((*written, *steps)[0])
    trial.refuse(
        Exhausted,
        blamed,
        "policy-too-heavy",
        f"policies of tenant {tenant} would make {sum(part.total for part in parts):,} flows on a host,"
        f" {MOST_FLOWS:,} at most; most of them: {'; '.join(map(told, heaviest[:_SHOWN]))}",
        "Have rules select fewer ports, or name the network's CIDR instead of its ports, or join rules that"
        " have the same peers.",
        _path(blamed, heaviest),
    )


def told(part: Part) -> str:
    """One rule with what it makes."""
    said = [
        f"{number:,} {what}"
        for number, what in (
            (part.peers, "addresses of ports"),
            (part.prefixes, "prefixes"),
            (part.services, "of services"),
            (part.subjects, f"ports that it judges (of a host, {SUBJECTS} at most)"),
        )
        if number
    ]
    return f"{part.place} makes {part.total:,} ({', '.join(said)})" if said else f"{part.place}"


def _path(blamed: object, heaviest: Sequence[Part]) -> str:
    if not isinstance(blamed, WantedPolicy):
        return ""
    return path_of(next(part for part in heaviest if part.place.policy == blamed.name))


def path_of(part: Part) -> str:
    """Where it stands in its policy."""
    return f"spec.rules[{part.place.number - 1}]" if part.place.number else "spec.defaults"
