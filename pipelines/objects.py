"""Objects: the units in which the program is compiled, patched and grouped.

Place: named by index (which exist, which a change touches), viewed by views, compiled by features. An object
owns its flows: they are made, sent and withdrawn together. Must not hold flows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from model.addresses import Address, Prefix
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid


class Kind(IntEnum):
    """What an object is. The number decides order, and who wins where two claim one flow: the lower. What
    policy needs is there before a port passes anything."""

    HOST = 0
    CLASS = 1
    RULE = 2
    MEMBER = 3
    ADDRESSEE = 4
    GROUP = 5
    JUDGED = 6
    DRAINING = 7
    NETWORK = 8
    VTEP = 9
    PORT = 10
    REMOTE = 11
    VRF = 12
    SUBNETS = 13
    SENDER = 14
    ROUTE = 15
    PREFIX = 16
    FLOATING = 17
    EGRESS = 18
    PEERING = 19
    PATH = 20
    WAITING = 21
    ADDRESS = 22
    EXTERNAL = 23
    OUTSIDE = 24
    PEERED = 25
    NARROW = 26


POLICY: Final = frozenset({Kind.RULE, Kind.MEMBER, Kind.ADDRESSEE, Kind.GROUP, Kind.JUDGED, Kind.DRAINING})
"""All by which is judged, or was."""
JUDGES: Final = POLICY - {Kind.MEMBER, Kind.DRAINING}
"""What may deny, and what that must not outlive."""


class Object(NamedTuple):
    """An object by its keys; 0 and empty where a kind has none. A tuple, so that order and hash are cheap.

    CLASS: major = class id. NETWORK: major = network key. VTEP: major = network key, name = host. PORT
    and WAITING: major = port key. REMOTE and ROUTE: major = network key, minor = MAC. VRF: major = tenant
    key. PREFIX: major = key of the VRF, name = the prefix. SUBNETS: major = network key. SENDER: major =
    tenant key, name = host. ADDRESS: major = network key, name = the address. FLOATING: name = uid. RULE:
    major = its number, name = uid of who bears it. MEMBER, ADDRESSEE, JUDGED and DRAINING: major = port
    key. GROUP: major = its name (pipelines.policy.grouping). EGRESS and EXTERNAL: major = tenant key, key
    of the external network. OUTSIDE: major = the same, name = prefix. PEERING: major = its key. PEERED:
    major = the same, name = prefix. NARROW: major = network key.
    """

    kind: Kind
    major: int = 0
    minor: int = 0
    name: str = ""


HOST: Final = Object(Kind.HOST)


def egress_class(key: ClassId) -> Object:
    """A declared egress class."""
    return Object(Kind.CLASS, key)


def network(key: NetworkKey) -> Object:
    """What belongs to a network with a local port: its subnets, replication."""
    return Object(Kind.NETWORK, key)


def vtep(key: NetworkKey, host: HostName) -> Object:
    """The right of another host to send frames of a network."""
    return Object(Kind.VTEP, key, 0, host)


def port(key: PortKey) -> Object:
    """A local port."""
    return Object(Kind.PORT, key)


def rule(key: tuple[int, Uid]) -> Object:
    """What of a rule does not follow from ports: prefixes, services, ends (pipelines.policy.seated)."""
    return Object(Kind.RULE, key[0], 0, key[1])


def member(key: PortKey) -> Object:
    """A port as a peer of rules, wherever it lives."""
    return Object(Kind.MEMBER, key)


def addressee(key: PortKey) -> Object:
    """A port as one to whom others send, wherever it lives, where some port is forbidden to send."""
    return Object(Kind.ADDRESSEE, key)


def group(name: int) -> Object:
    """The local ports that the very same rules judge, as their subjects."""
    return Object(Kind.GROUP, name)


def judged(key: PortKey) -> Object:
    """A local port under policy, as one that is judged."""
    return Object(Kind.JUDGED, key)


def draining(key: PortKey) -> Object:
    """A local port that was under policy until just now."""
    return Object(Kind.DRAINING, key)


def waiting(key: PortKey) -> Object:
    """A port that is moving here and lives elsewhere still."""
    return Object(Kind.WAITING, key)


def path(host: HostName) -> Object:
    """The tunnel to a host with an agent, and back."""
    return Object(Kind.PATH, 0, 0, host)


def address(key: NetworkKey, value: Address) -> Object:
    """An address of an allowed pair, wherever it is."""
    return Object(Kind.ADDRESS, key, 0, str(value))


def remote(key: NetworkKey, mac: Mac) -> Object:
    """A MAC behind a tunnel."""
    return Object(Kind.REMOTE, key, mac)


def vrf(key: TenantKey) -> Object:
    """A tenant that routes on this host, as a whole."""
    return Object(Kind.VRF, key)


def subnets(key: NetworkKey) -> Object:
    """The gateway addresses and connected prefixes of a network, for all networks of its tenant."""
    return Object(Kind.SUBNETS, key)


def narrow(key: NetworkKey) -> Object:
    """The destinations with a smaller MTU than a routed network with a local port has."""
    return Object(Kind.NARROW, key)


def sender(key: TenantKey, host: HostName) -> Object:
    """The right of another host to send what it routed for a tenant."""
    return Object(Kind.SENDER, key, 0, host)


def route(key: NetworkKey, mac: Mac) -> Object:
    """The host routes to a MAC behind a tunnel, whether or not its network lives here."""
    return Object(Kind.ROUTE, key, mac)


def prefix(key: TenantKey, prefix: Prefix) -> Object:
    """A prefix of a VRF: static routes, and what other hosts announce."""
    return Object(Kind.PREFIX, key, 0, str(prefix))


def floating(uid: Uid) -> Object:
    """A floating IP whose port lives here."""
    return Object(Kind.FLOATING, 0, 0, uid)


def egress(key: TenantKey) -> Object:
    """A tenant that this host translates for."""
    return Object(Kind.EGRESS, key)


def external(key: TenantKey) -> Object:
    """An external network that something of this host leads into."""
    return Object(Kind.EXTERNAL, key)


def outside(key: TenantKey, prefix: Prefix) -> Object:
    """A learned prefix of an external network."""
    return Object(Kind.OUTSIDE, key, 0, str(prefix))


def peering(key: TenantKey) -> Object:
    """A peering with local ports of a side: the ways across, and those ports."""
    return Object(Kind.PEERING, key)


def peered(key: TenantKey, prefix: Prefix) -> Object:
    """An exported address of a peering on another host."""
    return Object(Kind.PEERED, key, 0, str(prefix))
