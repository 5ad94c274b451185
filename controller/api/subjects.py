"""Subjects: how many ports each policy judges, as labels are now.

Place: beside `controller.api.view`, which knows one record alone. Pure. Must not take longer than an answer
may: what would is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from controller.store.records import Contents, PolicyRecord
from model.labels import selects
from model.policy import Policy, Selection, borne
from model.wanted import Kind, Reference

_KINDS: Final = (Kind.SECURITY_POLICY, Kind.OPERATOR_POLICY)
MOST_LOOKED_AT: Final = 200_000
"""Ports whose labels are compared for one answer: half a second."""


def count_ports(
    contents: Contents, policies: Iterable[Policy], most: int = MOST_LOOKED_AT
) -> list[int | None]:
    """Of each policy; None for those behind which too many would have to be looked at."""
    found: list[int | None] = []
    for policy in policies:
        here = [contents.members.get(one, ()) for one in _networks(contents, policy)]
        if not policy.subject.ports.requirements:
            found.append(sum(map(len, here)))
            continue
        most -= sum(map(len, here))
        found.append(None if most < 0 else sum(_selected(contents, policy)))
    return found


def describe(contents: Contents, kind: Kind, documents: Sequence[dict[str, Any]]) -> None:
    """Add the number to the status of documents, if they are of policies."""
    policies = []
    for each in documents if kind in _KINDS else ():
        metadata = each["metadata"]
        record = contents.find(Reference(kind, metadata["name"], metadata.get("tenant")))
        assert isinstance(record, PolicyRecord)
        policies.append(record.value.policy)
    for document, number in zip(documents, count_ports(contents, policies), strict=False):
        if number is not None:
            document["status"]["ports"] = number


def _networks(contents: Contents, policy: Policy) -> Iterator[tuple[str, str]]:
    subject = policy.subject
    for tenant in [policy.tenant] if policy.tenant else contents.tenants:
        if policy.tenant or _of_tenant(contents, subject, tenant):
            for network in contents.networks_of.get(tenant, ()):
                labels = contents.networks[tenant, network].labels
                if not subject.networks.requirements or selects(subject.networks, borne(network, labels)):
                    yield tenant, network


def _of_tenant(contents: Contents, subject: Selection, tenant: str) -> bool:
    if subject.tenants is None:
        return True
    return selects(subject.tenants, borne(tenant, contents.tenants[tenant].labels))


def _selected(contents: Contents, policy: Policy) -> Iterator[bool]:
    for tenant, network in _networks(contents, policy):
        for name in contents.members.get((tenant, network), ()):
            yield selects(policy.subject.ports, borne(name, contents.ports[tenant, name].labels))
