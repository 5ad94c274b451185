"""Kinds of what leads beyond a network, declared as data: routes.

Place: part of `controller.manifest.schema`. Must not hold rules that span fields or objects.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import readers
from controller.manifest.fields import LABELS, NAME, TENANT_NAME, FieldRule, KindRule, Presence, Shape
from model.wanted import Kind

ROUTE: Final = KindRule(
    Kind.ROUTE,
    "routes",
    ("rt",),
    "A static route of a tenant: a prefix behind its own ports.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "prefix",
            readers.read_unicast,
            "Where it leads; not inside a subnet of the tenant. One route to a prefix.",
            "172.16.0.0/16",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "nextHops",
            readers.read_address,
            "Own addresses of ports of the tenant in routed networks, 1 to 16, of the prefix's IP version."
            " Several share the load.",
            "[10.0.0.5, 10.0.0.6]",
            Presence.REQUIRED,
            Shape.MANY,
            most=16,
        ),
    ),
)
