"""Scope: which rows of the store a host must know about, as a function of the rows that it has seen.

Place: between `controller.store.view`, which feeds it rows, and `watch`, which makes monitor conditions of
it. It grows step by step: own ports name tenants, these name networks, peers and external networks. Must not
do I/O. A row that can't be read says nothing.

- All of each tenant with ports here, since its routed networks reach each other (RFC 9135) and this host
  routes for its own ports; the same for tenants that this host is a gateway of.
- Of tenants that peer with one with ports here, both halves declared: the networks, and ports and bindings of
  those networks that the peer lets it reach: who may announce their addresses.
- Of gangs of tenants with ports here that have names: all nodes, wherever they are.
- Of external networks in which this host speaks (for floating IPs of its own ports, as a gateway): who else
  may speak there: floating IPs, the bindings of their ports, tenants with egress addresses.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

from controller.store import rolls, rows
from model.addresses import Prefix
from model.ids import HostName, Uid

log = logging.getLogger(__name__)

_READ: Final = ("Port", "Network", "Tenant", "Floating_Ip", "Peering", "Gang")
_Fact = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """uids. `tenants`: of which everything is needed; `networks`: those whose bindings are. `outside`:
    external networks that this host speaks in; `lent`: ports that floating IPs there stand for. `local`: the
    tenants with ports here; `peers`: theirs; `shared`: networks of peers in which they may reach ports.
    `names`: of local tenants; `gangs`: generations of theirs.
    """

    tenants: frozenset[Uid] = frozenset()
    networks: frozenset[Uid] = frozenset()
    outside: frozenset[Uid] = frozenset()
    lent: frozenset[Uid] = frozenset()
    local: frozenset[Uid] = frozenset()
    peers: frozenset[Uid] = frozenset()
    shared: frozenset[Uid] = frozenset()
    names: frozenset[str] = frozenset()
    gangs: frozenset[int] = frozenset()


class Interest:
    """What the rows seen so far make a host interested in: of each row the few columns that decide it."""

    def __init__(self, host: HostName) -> None:
        self._host = host
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._facts: dict[str, dict[Uid, _Fact]] = {table: {} for table in _READ}
        self._scope: Scope | None = Scope()

    def touch(self, table: str, uid: Uid, row: rows.Row | None) -> None:
        """A row as it is now; None if it is gone."""
        facts = self._facts.get(table)
        if facts is None:
            return
        now = None if row is None else self._read(table, uid, row)
        if facts.get(uid) == now:
            return
        self._scope = None
        if now is None:
            facts.pop(uid, None)
        else:
            facts[uid] = now

    def scope(self) -> Scope:
        """Computed again only if something has changed that it depends on."""
        if self._scope is None:
            self._scope = self._compute()
        return self._scope

    def _read(self, table: str, uid: Uid, row: rows.Row) -> _Fact | None:
        """What the row says about the scope: None if nothing."""
        try:
            match table:
                case "Port":
                    own = self._host in rows.texts(row["hosts"])
                    return (rows.reference(row["network"]), rows.reference(row["tenant"])) if own else None
                case "Network":
                    return rows.reference(row["tenant"]), _prefixes(row["subnets"])
                case "Peering":
                    return (
                        rows.reference(row["tenant"]),
                        rows.reference(row["peer"]),
                        _prefixes(row["prefixes"]),
                    )
                case "Tenant":
                    led = self._host in rows.texts(row["gateways"])
                    return led, _optional(row["external"]), str(row["name"])
                case "Gang":
                    return rolls.named(row)
                case _:
                    return rows.reference(row["external"]), _optional(row["port"])
        except (ValueError, KeyError):
            log.warning("row tells no scope table=%s uuid=%s: its references can't be read", table, uid)
            return None

    def _compute(self) -> Scope:
        own, known = self._facts["Port"], self._facts["Tenant"]
        led = {uid: external for uid, (here, external, _) in known.items() if here}
        local = {tenant for _, tenant in own.values()}
        tenants = local | set(led)
        names = {name for uid, (_, _, name) in known.items() if uid in local}
        networks = {network for network, _ in own.values()}
        networks.update(uid for uid, (tenant, _) in self._facts["Network"].items() if tenant in tenants)
        reached = self._reached(local)
        shared = {
            uid
            for uid, (tenant, subnets) in self._facts["Network"].items()
            if tenant in reached and _meet(subnets, reached[tenant])
        }
        floating = self._facts["Floating_Ip"].values()
        outside = {external for external, port in floating if port in own}
        outside.update(external for external in led.values() if external is not None)
        lent = {port for external, port in floating if external in outside and port is not None}
        return Scope(
            tenants=frozenset(tenants),
            networks=frozenset(networks),
            outside=frozenset(outside),
            lent=frozenset(lent - set(own)),
            local=frozenset(local),
            peers=frozenset(reached),
            shared=frozenset(shared - networks),
            names=frozenset(names),
            gangs=frozenset(number for name, number in self._facts["Gang"].values() if name in names),
        )

    def _reached(self, local: set[Uid]) -> dict[Uid, list[Prefix]]:
        """Peer -> what it lets tenants with ports here reach. Both halves must be there."""
        halves = {(tenant, peer): prefixes for tenant, peer, prefixes in self._facts["Peering"].values()}
        reached: dict[Uid, list[Prefix]] = {}
        for (tenant, peer), prefixes in halves.items():
            if peer in local and (peer, tenant) in halves:
                reached.setdefault(tenant, []).extend(prefixes)
        return reached


def _prefixes(value: Any) -> tuple[Prefix, ...]:
    return tuple(ip_network(text) for text in rows.texts(value))


def _meet(subnets: tuple[Prefix, ...], prefixes: list[Prefix]) -> bool:
    return any(s.version == p.version and s.overlaps(p) for s in subnets for p in prefixes)


def _optional(value: Any) -> Uid | None:
    return None if rows.optional(value) is None else rows.reference(value)
