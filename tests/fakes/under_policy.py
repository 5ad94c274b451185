"""A host with all ports of `tests.fakes.policies`, its policies with seats, and packets between the ports.

Place: under the property tests of policy in the pipeline. Must not hold expectations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from model.addresses import GATEWAY_MAC
from model.change import Change, Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.intent import Binding
from model.inventory import Interface
from model.policy import WITH_PORTS, Defaults, Direction, Endpoint, Policy, Protocol, Seat, Standing
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines import lookup
from pipelines.compile import Program, compile, recompile
from pipelines.policy.entries import Tenants, standing
from pipelines.policy.verdict import Connection
from pipelines.walk import Walk, walk
from tests.fakes import world
from tests.fakes.conntrack import Conntrack
from tests.fakes.packets import Packet, received
from tests.fakes.policies import WORLD

TENANTS = {"acme": 1, "umbrella": 2}
NETWORKS = {"blue": (1, 1, True), "green": (2, 1, True), "island": (3, 1, False), "red": (4, 2, True)}
"""Key, key of the tenant, and whether it is routed."""
SUBNETS = {
    "blue": ("8.0.0.0/6", "fc00::/7"),
    "green": ("10.0.1.0/24", "fd00:1::/64"),
    "island": ("8.0.0.0/6",),
    "red": ("10.9.0.0/24",),
}
"""Wide, so that no port has the gateway's address."""
TOP = 900
_SPORT = 40_000
_PORTS = {Protocol.TCP: "tcp", Protocol.UDP: "udp", Protocol.SCTP: "sctp"}


def mac(one: Endpoint) -> int:
    return 0x02_00_00_00_00_00 | one.key


def host() -> Snapshot:
    """All of the world lives here, with zones, and without policies."""
    snapshot = world.empty()
    for name, key in TENANTS.items():
        tenant = replace(world.tenant(key), name=name)
        snapshot = world.with_part(snapshot, Part.TENANT, tenant.key, tenant)
    for name, (key, owner, routed) in NETWORKS.items():
        plain = world.network(key, owner=owner, subnets=SUBNETS[name], routed=routed)
        snapshot = world.with_part(snapshot, Part.NETWORK, NetworkKey(key), replace(plain, name=name))
    for one in WORLD:
        plain = world.port(one.key, NETWORKS[one.network][0], mac(one), map(str, one.addresses))
        port = replace(plain, uid=one.uid, name=one.name, labels=one.labels)
        snapshot = world.with_part(snapshot, Part.PORT, port.key, port)
        snapshot = world.with_part(snapshot, Part.BINDING, port.key, Binding(port.key, world.HERE, 0, True))
        snapshot = world.with_part(
            snapshot, Part.INTERFACE, one.uid, Interface(one.uid, f"tap{one.key}", one.key)
        )
        snapshot = world.with_part(snapshot, Part.EPOCH, port.key, 1)
        snapshot = world.with_part(snapshot, Part.ZONE, ("policy", port.key), 100 + one.key)
    return snapshot


def ruled(snapshot: Snapshot, policies: Iterable[Policy], tenants: Tenants) -> tuple[Snapshot, list[Change]]:
    """With these policies instead of those that it had, and what that changes."""
    standings = seat(tuple(policies))
    made = {one.uid: one for one in standings}
    changes = [Change(Part.POLICY, uid) for uid in {*snapshot.policies, *made}]
    for uid in snapshot.policies:
        snapshot = world.with_part(snapshot, Part.POLICY, uid, None)
    for uid, one in made.items():
        snapshot = world.with_part(snapshot, Part.POLICY, uid, one)
    for name, key in TENANTS.items():
        tenant = snapshot.tenants[TenantKey(key)]
        given = tenants.get(name, Defaults())
        numbers = tuple(700 + 2 * key + n if given.of(d) else 0 for n, d in enumerate(Direction))
        changed = replace(tenant, defaults=given, seats=numbers)
        snapshot = world.with_part(snapshot, Part.TENANT, TenantKey(key), changed)
        changes.append(Change(Part.TENANT, TenantKey(key)))
    return snapshot, changes


def seat(policies: tuple[Policy, ...]) -> list[Standing]:
    """Seats as the store gives them: heights fall in the order in which rules judge."""
    seats = {}
    for direction in Direction:
        for entry in standing(policies, {}, direction):
            seats[entry.place] = Seat(len(seats) + 1, TOP - len(seats))
    found = []
    for policy in policies:
        mine = {p: s for p, s in seats.items() if p.policy == policy.name and p.tenant == policy.tenant}
        rules = sorted((p.number, s) for p, s in mine.items() if p.number)
        ends = [
            next((s for p, s in mine.items() if not p.number and p.direction is direction), None)
            for direction in Direction
        ]
        owner = TenantKey(TENANTS.get(policy.tenant, 0))
        found.append(Standing(Uid(f"policy-{policy.name}"), policy, owner, tuple(s for _, s in rules), *ends))
    return found


BARE = host()
PLAIN = compile(BARE)


class Hosted:
    """A switch that follows a snapshot, keeping its connections."""

    def __init__(self) -> None:
        self.snapshot = BARE
        self.program: Program = PLAIN
        self.flows = {flow.key(): flow for flow in PLAIN.flows()}
        self.tracker = Conntrack()
        self._lookup = lookup.build(PLAIN)

    def rule(self, policies: Iterable[Policy], tenants: Tenants) -> None:
        new, changes = ruled(self.snapshot, policies, tenants)
        self.program, patch = recompile(self.program, self.snapshot, new, changes)
        self.snapshot = new
        for put, drop in patch.groups:
            for flow in drop:
                del self.flows[flow.key()]
            self.flows.update((flow.key(), flow) for flow in put)
        self._lookup = lookup.build(self.program)

    def ask(self, connection: Connection) -> bool:
        """Whether the packet that opens it arrives."""
        assert connection.source is not None and connection.target is not None
        seen = self._walk(opening(connection, connection.source, connection.target))
        return connection.target.key in seen

    def answer(self, connection: Connection) -> bool:
        """Whether the answer arrives."""
        assert connection.source is not None and connection.target is not None
        return connection.source.key in self._walk(_reply(connection))

    def stray(self, connection: Connection, to: Endpoint) -> Walk:
        """The way of the packet that opens it, in a frame for the MAC of somebody else."""
        assert connection.source is not None
        packet = opening(connection, connection.source, to) | {"eth_dst": mac(to)}
        return walk(self._lookup, received(packet), self.tracker)

    def _walk(self, packet: Packet) -> set[int]:
        return {sent.port for sent in walk(self._lookup, received(packet), self.tracker).sent}


def opening(connection: Connection, source: Endpoint, target: Endpoint) -> Packet:
    """The packet that opens it, between two ports."""
    six = connection.source_address.version == 6
    ends = ("ipv6_src", "ipv6_dst") if six else ("ip_src", "ip_dst")
    made: Packet = {
        "in_port": int(PortKey(source.key)),
        "eth_src": mac(source),
        "eth_dst": mac(target) if source.network == target.network else GATEWAY_MAC,
        "eth_type": f.IPV6 if six else f.IPV4,
        ends[0]: int(connection.source_address),
        ends[1]: int(connection.target_address),
        "ip_proto": connection.protocol,
        "nw_ttl": 64,
    }
    if connection.protocol in WITH_PORTS:
        name = _PORTS[Protocol(connection.protocol)]
        made |= {f"{name}_src": _SPORT, f"{name}_dst": connection.port}
    elif connection.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        name = "icmpv6" if six else "icmp"
        made |= {f"{name}_type": connection.kind, f"{name}_code": connection.code}
    return made


def _reply(connection: Connection) -> Packet:
    assert connection.source is not None and connection.target is not None
    back = replace(
        connection,
        source=connection.target,
        target=connection.source,
        source_address=connection.target_address,
        target_address=connection.source_address,
        kind={8: 0, 128: 129}.get(connection.kind, 0),
    )
    made = opening(back, connection.target, connection.source)
    if connection.protocol in WITH_PORTS:
        name = _PORTS[Protocol(connection.protocol)]
        made |= {f"{name}_src": connection.port, f"{name}_dst": _SPORT}
    return made
