"""Seeking: which EVPN routes somebody asks for, parsed, and whether a route is one of them.

Place: pure; under `controller.agent.glass`. The request comes from the store: foreign text. Must not read
routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network
from typing import Any, Final

from model.addresses import Address, Prefix, parse_mac
from model.errors import Fault, Invalid
from model.ids import Mac, TenantKey

MOST: Final = 2_000
"""Rows in one answer."""
_LONGEST: Final = 200
_ANY: Final = TenantKey(0)


class What(Enum):
    """What to list."""

    NEIGHBORS = "neighbors"
    ROUTES = "routes"
    PATHS = "paths"
    ADVERTISED = "advertised"
    REJECTED = "rejected"
    DUPLICATES = "duplicates"


@dataclass(frozen=True, slots=True)
class Choice:
    """0 and None = any. `ip`: routes of an address in it, or of a prefix that has to do with it."""

    what: What
    tenant: TenantKey = _ANY
    kind: int = 0
    mac: Mac | None = None
    ip: Prefix | None = None
    limit: int = MOST

    def takes(
        self,
        kind: int,
        tenants: Iterable[TenantKey],
        mac: int | None,
        prefixes: Iterable[Address | Prefix],
    ) -> bool:
        """Whether a route of type `kind`, of these VRFs, with this MAC and these addresses, is meant."""
        if self.kind and kind != self.kind:
            return False
        if self.tenant and self.tenant not in tenants:
            return False
        if self.mac is not None and mac != self.mac:
            return False
        return self.ip is None or any(_meets(self.ip, one) for one in prefixes)


def choice(text: str) -> Choice:
    """Of the text of a question; Invalid if it is none."""
    try:
        plain = json.loads(text)
        if not isinstance(plain, dict):
            raise ValueError("an object is missing")
        mac, ip = (str(plain.get(name) or "")[:_LONGEST] for name in ("mac", "ip"))
        return Choice(
            what=What(plain.get("what")),
            tenant=TenantKey(_number(plain, "tenant")),
            kind=_number(plain, "type"),
            mac=parse_mac(mac) if mac else None,
            ip=ip_network(ip, strict=False) if ip else None,
            limit=min(max(_number(plain, "limit"), 1), MOST),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise malformed(error) from error


def malformed(error: Exception) -> Invalid:
    """A question that this agent can't take apart."""
    remedy = "Let API and agents be of the same version."
    return Invalid(Fault("question", "malformed-question", str(error)[:_LONGEST], remedy))


def _number(plain: dict[str, Any], key: str) -> int:
    value = plain.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key} is no number")
    return value


def _meets(wanted: Prefix, one: Address | Prefix) -> bool:
    """Whether one of the two lies in the other."""
    if wanted.version != one.version:
        return False
    other = ip_network(one)
    bits = min(wanted.prefixlen, other.prefixlen)
    shift = wanted.max_prefixlen - bits
    return int(wanted.network_address) >> shift == int(other.network_address) >> shift
