"""Guidance in manifests: what a network tells its ports besides their addresses.

Place: part of `controller.manifest.schema`. Must not hold rules that span fields: `ipam.networks` knows what
the network's subnets are.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Final

from controller.manifest import readers
from controller.manifest.fields import FieldRule, Presence, Shape
from controller.manifest.readers import Misfit, text_of, within
from controller.manifest.tree import Scalar, show
from model.addresses import Address
from model.guidance import LEASES, MOST_RESOLVERS, MOST_ROUTES, MOST_SEARCH
from model.serving import RESOLVERS

NOTHING: Final = "none"
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.ASCII)


def read_resolver(node: Scalar) -> Address:
    """An address of a resolver, as its workloads reach it; one of a service at 169.254.0.0/16, or ours."""
    text = text_of(node)
    address = readers.parse_address(text)
    return address if text.startswith("169.254.") or address in RESOLVERS else readers.read_address(node)


def read_domain(node: Scalar) -> str:
    """A domain of RFC 1123 section 2.1, without a dot at its end; or `none`."""
    text = text_of(node)
    return "" if text == NOTHING else _domain(text)


def read_searched(node: Scalar) -> str:
    """A domain of RFC 1123 section 2.1, without a dot at its end."""
    return _domain(text_of(node))


def read_lease(node: Scalar) -> int:
    """Seconds, 600 (10 minutes) to 2592000 (30 days)."""
    return within(node, LEASES, "a lease in seconds", "Leave it out for a day.")


def read_guest_prefix(node: Scalar) -> IPv4Network:
    """An IPv4 prefix."""
    prefix = readers.read_prefix(node)
    if not isinstance(prefix, IPv4Network):
        raise Misfit(
            "guest-route-family",
            f"{prefix} is IPv6, and DHCPv6 tells no routes",
            "Leave it out: the gateway routes it, by a Route of the tenant if need be.",
        )
    return prefix


def _domain(text: str) -> str:
    if _DOMAIN.fullmatch(text):
        return text
    if text.endswith("."):
        raise Misfit("domain-rule", f"{show(text)} ends with a dot", f"Write {show(text.rstrip('.'))}.")
    raise Misfit(
        "domain-rule", f"{show(text)} is no domain", "Write labels of a-z, 0-9 and '-', joined by dots."
    )


GUIDANCE: Final = (
    FieldRule(
        "spec",
        "dhcp",
        readers.read_flag,
        "Tell its ports their addresses and all below, by DHCP, DHCPv6 and router advertisements (default"
        " true). false: nobody answers them.",
        "true",
    ),
    FieldRule(
        "spec",
        "resolvers",
        read_resolver,
        "Whom its ports ask for names, in order (default: ours, on hosts that serve names, but for `names:"
        " false`).",
        "[10.0.0.53, 'fd00::53']",
        shape=Shape.MANY,
        most=MOST_RESOLVERS,
    ),
    FieldRule(
        "spec",
        "names",
        readers.read_flag,
        "Tell its ports of our resolvers, where it declares none (default true). false: then they are told"
        " of no resolver, nor of the tenant's zone.",
        "false",
    ),
    FieldRule(
        "spec",
        "domain",
        read_domain,
        "The domain that its ports are in (default: the tenant's zone, where they are told of our"
        " resolvers).",
        "prod.example",
    ),
    FieldRule(
        "spec",
        "search",
        read_searched,
        "Domains in which its ports look for short names besides (default none).",
        "[corp.example]",
        shape=Shape.MANY,
        most=MOST_SEARCH,
    ),
    FieldRule(
        "spec",
        "guestRoutes",
        readers.read_prefix,
        "Routes that its ports are told beside the default route: an IPv4 prefix, and the address in the"
        " network that leads there (default none).",
        "[{prefix: 192.0.2.0/24, nextHop: 10.0.0.9}]",
        shape=Shape.RECORDS,
        most=MOST_ROUTES,
        parts=(
            FieldRule("route", "prefix", read_guest_prefix, "", "192.0.2.0/24", Presence.REQUIRED),
            FieldRule("route", "nextHop", readers.read_address, "", "10.0.0.9", Presence.REQUIRED),
        ),
    ),
    FieldRule(
        "spec",
        "lease",
        read_lease,
        "For how long ports are given their addresses; after half of it they ask again (default 86400).",
        "86400",
    ),
)
