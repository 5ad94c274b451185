"""Rules between the fields of one object.

Place: after the fields are read, before the planner. Each rule is quiet about fields that are themselves
broken. Must not look at other objects: the planner does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from controller.manifest.draft import Draft
from model.addresses import Prefix
from model.errors import Fault
from model.intent import Egress
from model.wanted import Kind

DEFAULT_MTU: Final = 1450
IPV6_MTU: Final = 1280
"""Least MTU of a link that carries IPv6 (RFC 8200 section 5)."""


def check(draft: Draft) -> tuple[Fault, ...]:
    """All faults of one draft's fields taken together."""
    return tuple(fault for rule in RULES for fault in rule(draft))


def _fault(draft: Draft, path: str, rule: str, message: str, remedy: str) -> Fault:
    return Fault(draft.title, rule, message, remedy, path, draft.where.source, draft.where.at(path))


def check_families(draft: Draft) -> Iterator[Fault]:
    """At most one IPv4 and one IPv6 subnet to a network."""
    if draft.kind is not Kind.NETWORK:
        return
    first: dict[int, Prefix] = {}
    for index, subnet in zip(
        draft.positions.get("spec.subnets", ()), draft.get("spec.subnets") or (), strict=True
    ):
        if subnet.version in first:
            yield _fault(
                draft,
                f"spec.subnets[{index}]",
                "one-subnet-per-family",
                f"{subnet} is a second IPv{subnet.version} subnet beside {first[subnet.version]}",
                "Keep one of each family; make a second network for the other.",
            )
        first.setdefault(subnet.version, subnet)


def check_mtu(draft: Draft) -> Iterator[Fault]:
    """A network with IPv6 needs the least MTU of IPv6."""
    mtu = draft.get("spec.mtu")
    if draft.kind is not Kind.NETWORK or mtu is None or mtu >= IPV6_MTU:
        return
    if any(subnet.version == 6 for subnet in draft.get("spec.subnets") or ()):
        yield _fault(
            draft, "spec.mtu", "mtu-ipv6", f"MTU {mtu} can't carry IPv6", f"Use at least {IPV6_MTU}."
        )


def check_hops(draft: Draft) -> Iterator[Fault]:
    """A route and its next hops are of one IP version."""
    prefix = draft.get("spec.prefix")
    if draft.kind is not Kind.ROUTE or prefix is None:
        return
    hops = zip(draft.positions.get("spec.nextHops", ()), draft.get("spec.nextHops") or (), strict=True)
    for index, hop in hops:
        if hop.version != prefix.version:
            yield _fault(
                draft,
                f"spec.nextHops[{index}]",
                "next-hop-family",
                f"next hop {hop} is not of the IP version of {prefix}",
                f"Write IPv{prefix.version} addresses; make another route for the other version.",
            )


def check_egress(draft: Draft) -> Iterator[Fault]:
    """Who has no way out needs no external network."""
    if draft.kind is Kind.TENANT and draft.get("spec.egress") is Egress.NONE and draft.get("spec.external"):
        yield _fault(
            draft,
            "spec.external",
            "external-unused",
            "an external network without a way out",
            "Write egress: snat (or fabric), or leave external out.",
        )


def check_family(draft: Draft) -> Iterator[Fault]:
    """A floating IP is of the family that is written."""
    address, family = draft.get("spec.address"), draft.get("spec.family")
    if draft.kind is not Kind.FLOATING_IP or address is None or family in {None, address.version}:
        return
    yield _fault(
        draft, "spec.family", "family-mismatch", f"{address} is not IPv{family}", "Leave spec.family out."
    )


def check_vf(draft: Draft) -> Iterator[Fault]:
    """A VF is named by its PF and its number, and a port that has one by its only host."""
    pf, index, use = draft.get("spec.vf") or (None, None, None)
    if draft.kind is not Kind.PORT or (pf, index, use) == (None, None, None):
        return
    for name, value, example in (("pf", pf, "fe0"), ("index", index, "3")):
        if value is None:
            advice = f"Add {name}: {example} to it, or write vf: {{}} to take it off."
            yield _fault(draft, "spec.vf", "missing-field", f"it has no {name}", advice)


RULES: Final[tuple[Callable[[Draft], Iterator[Fault]], ...]] = (
    check_families,
    check_mtu,
    check_hops,
    check_egress,
    check_family,
    check_vf,
)
