"""Fields of route targets, distinguishers and communities, which tenants and networks have alike.

Place: part of `controller.manifest.schema`. Must not hold rules that span objects: `ipam.laws_targets` does.
"""

from __future__ import annotations

from controller.manifest import readers
from controller.manifest.fields import FieldRule, Shape

_MOST = 16


def routing_rules(it: str, vni: str) -> tuple[FieldRule, ...]:
    """`it`: what listens and announces; `vni`: which of its numbers the derived route target has."""
    return (
        FieldRule(
            "spec",
            "importTargets",
            readers.read_target,
            f"Route targets of EVPN routes that {it} listens to: ASN:NUMBER, ADDRESS:NUMBER, or `derived`:"
            f" ASN:{vni} (default [derived]). None that another tenant uses, unless they peer.",
            "[derived, 65001:100]",
            shape=Shape.MANY,
            most=_MOST,
        ),
        FieldRule(
            "spec",
            "exportTargets",
            readers.read_target,
            f"Route targets of EVPN routes that {it} announces, likewise (default [derived]). At least one"
            " must be imported: its own hosts hear of each other by it.",
            "[derived, 65001:101]",
            shape=Shape.MANY,
            most=_MOST,
        ),
        FieldRule(
            "spec",
            "communities",
            readers.read_community,
            "Communities of its EVPN routes, for filters of other routers: NUMBER:NUMBER, or large ones of"
            " three numbers (default none).",
            "[65000:100]",
            shape=Shape.MANY,
            most=_MOST,
        ),
        FieldRule(
            "spec",
            "distinguisher",
            readers.read_distinguisher,
            f"The number in the route distinguishers of {it}, behind each host's router id: 1 to 65535, or"
            " `derived`: its key (default). Nobody else's key or number.",
            "40001",
        ),
    )
