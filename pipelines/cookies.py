"""Cookies: 64 bits that say of every flow that it is ours, and for what it stands.

Place: written into flows by the features, parsed by accounting, audit and `ringfence` tools. Must not decide
anything.

    [63:48] mark | [47:44] kind | 44 bits by kind:
      host     class 8 [15:8], 0 for what belongs to no class | table 8 [7:0], 0 unless a table's miss flow
      network  network key 16 [15:0]
      port     port key 24 [23:0]
      remote   network key 16 [43:28] | low 28 bits of the MAC [27:0]
      vrf      tenant key 16 [15:0]
      told     reason 8 [39:32] | network key 16 [31:16], 0 for any | tenant key 16 [15:0]: packets that the
               agent gets, to tell their sender what became of them
      asked    port key 24 [23:0], questions that the agent gets, to answer them
      announce port key 24 [23:0], announcements that the agent gets
      probe    low 44 bits of a VTEP's address, answers to probes that the agent gets
      prefix   key of the VRF 16 [43:28] | 28 bits of a digest of the prefix [27:0]
      account  port key 24 [43:20] | class 8 [19:12] | epoch 12 [11:0]
      account in: the same, of what the port got from outside
      policy   number of a rule's state 20 [43:24] | port key 24 [23:0], 0 for a rule as a whole
      group    low 44 bits of the name of a group of ports that the same rules judge
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from model.addresses import Address, Prefix
from model.ids import COOKIE_MARK, SAME_NETWORK, ClassId, Mac, NetworkKey, PortKey, TenantKey

MARK_MASK: Final = 0xFFFF << 48
MARK: Final = COOKIE_MARK << 48
EPOCHS: Final = range(1 << 12)
RULES: Final = range(1 << 20)
_BODY: Final = (1 << 44) - 1
_NO_NETWORK: Final = NetworkKey(0)
_NO_PORT: Final = PortKey(0)
_NO_TENANT: Final = TenantKey(0)


class Kind(IntEnum):
    """What a flow stands for; the number is part of the cookie."""

    HOST = 0
    NETWORK = 1
    PORT = 2
    REMOTE = 3
    ACCOUNT = 4
    VRF = 5
    TOLD = 6
    PROBE = 8
    ASKED = 9
    ANNOUNCE = 10
    PREFIX = 11
    ACCOUNT_IN = 12
    POLICY = 13
    GROUP = 14


class Reason(IntEnum):
    """Of what the sender of a packet is told; the number is part of the cookie."""

    NONE = 0
    TTL = 1
    """The packet's TTL ended at its gateway,"""
    TTL_AFAR = 2
    """or at the second router, on the host of its destination."""
    NO_NETWORK = 3
    """There is no route."""
    NO_HOST = 4
    """The network is there, but nobody in it has the address."""
    TOO_BIG = 5
    """The packet is larger than the MTU of a network on its way, its sender's or the next: the one named."""


_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Cookie:
    """A parsed cookie: the fields that its kind has, 0 for the others. `mac`: the low 28 bits only."""

    kind: Kind
    network: NetworkKey = _NO_NETWORK
    port: PortKey = _NO_PORT
    mac: int = 0
    cls: ClassId = SAME_NETWORK
    epoch: int = 0
    table: int = 0
    tenant: TenantKey = _NO_TENANT
    reason: Reason = Reason.NONE
    digest: int = 0
    path: int = 0
    """The low 44 bits of a VTEP's address."""
    rule: int = 0


def host(table: int = 0, cls: int = 0) -> int:
    """A flow that belongs to the host: a table's miss, or a declared egress class."""
    return MARK | Kind.HOST << 44 | cls << 8 | table


def network(key: NetworkKey) -> int:
    """A flow of a network as a whole."""
    return MARK | Kind.NETWORK << 44 | key


def port(key: PortKey) -> int:
    """A flow of a local port, but for its counters."""
    return MARK | Kind.PORT << 44 | key


def remote(key: NetworkKey, mac: Mac) -> int:
    """A flow of a MAC behind a tunnel."""
    return MARK | Kind.REMOTE << 44 | key << 28 | mac & 0xFFFFFFF


def vrf(key: TenantKey) -> int:
    """A flow of a tenant's routing as a whole, or another host's right to send for it."""
    return MARK | Kind.VRF << 44 | key


def told(key: TenantKey, reason: Reason, network: NetworkKey = _NO_NETWORK) -> int:
    """A flow that hands packets to the agent, which tells their sender why; the packet-in bears it."""
    return MARK | Kind.TOLD << 44 | reason << 32 | network << 16 | key


def prefix(vrf: TenantKey, prefix: Prefix) -> int:
    """A flow of a static route, or of a prefix that another host announces in a VRF."""
    return MARK | Kind.PREFIX << 44 | vrf << 28 | digest(prefix)


def digest(prefix: Prefix) -> int:
    """The 28 bits that stand for a prefix."""
    return int.from_bytes(blake2b(str(prefix).encode(), digest_size=4).digest(), "big") >> 4


def announced(key: PortKey) -> int:
    """A flow that hands the agent what a port announces: the packet-in bears this cookie."""
    return MARK | Kind.ANNOUNCE << 44 | key


def asked(key: PortKey) -> int:
    """A flow that hands the agent what a port asks its network: the packet-in bears this cookie."""
    return MARK | Kind.ASKED << 44 | key


def probe(vtep: Address) -> int:
    """A flow that hands the agent answers to its probes of a VTEP: the packet-in bears this cookie."""
    return MARK | Kind.PROBE << 44 | int(vtep) & _BODY


def account(key: PortKey, cls: ClassId, epoch: int) -> int:
    """The counter of a port and class. ValueError if `epoch` does not fit into 12 bits."""
    return _account(Kind.ACCOUNT, key, cls, epoch)


def account_in(key: PortKey, cls: ClassId, epoch: int) -> int:
    """The same for what the port got from outside, by the class of the source."""
    return _account(Kind.ACCOUNT_IN, key, cls, epoch)


def policy(rule: int, port: PortKey = _NO_PORT) -> int:
    """A flow of a policy's rule; with a port, the counter of its hits there. ValueError beyond 20 bits."""
    if rule not in RULES:
        raise ValueError(f"number {rule} of a policy's rule is outside 0..{RULES[-1]}")
    return MARK | Kind.POLICY << 44 | rule << 24 | port


def group(name: int) -> int:
    """A flow of local ports that the same rules judge, but for those of the rules."""
    return MARK | Kind.GROUP << 44 | name & _BODY


def _account(kind: Kind, key: PortKey, cls: ClassId, epoch: int) -> int:
    if epoch not in EPOCHS:
        raise ValueError(f"epoch {epoch} of port {key} is outside 0..{EPOCHS[-1]}")
    return MARK | kind << 44 | key << 20 | cls << 12 | epoch


def parse(cookie: int) -> Cookie | None:
    """What a cookie says; None if it is not ours."""
    body, kind = cookie & _BODY, cookie >> 44 & 0xF
    if cookie >> 48 != COOKIE_MARK or kind not in _KINDS:
        return None
    if kind == Kind.HOST:
        return Cookie(Kind.HOST, cls=ClassId(body >> 8 & 0xFF), table=body & 0xFF)
    if kind == Kind.NETWORK:
        return Cookie(Kind.NETWORK, network=NetworkKey(body & 0xFFFF))
    if kind == Kind.PROBE:
        return Cookie(Kind.PROBE, path=body)
    if kind in (Kind.PORT, Kind.ANNOUNCE, Kind.ASKED):
        return Cookie(Kind(kind), port=PortKey(body & 0xFFFFFF))
    if kind == Kind.REMOTE:
        return Cookie(Kind.REMOTE, network=NetworkKey(body >> 28), mac=body & 0xFFFFFFF)
    if kind == Kind.VRF:
        return Cookie(Kind.VRF, tenant=TenantKey(body & 0xFFFF))
    if kind == Kind.TOLD:
        return _told(body)
    if kind == Kind.POLICY:
        return Cookie(Kind.POLICY, port=PortKey(body & 0xFFFFFF), rule=body >> 24)
    if kind == Kind.GROUP:
        return Cookie(Kind.GROUP, digest=body)
    if kind == Kind.PREFIX:
        return Cookie(Kind.PREFIX, tenant=TenantKey(body >> 28), digest=body & 0xFFFFFFF)
    return Cookie(Kind(kind), port=PortKey(body >> 20), cls=ClassId(body >> 12 & 0xFF), epoch=body & 0xFFF)


def _told(body: int) -> Cookie | None:
    reason = body >> 32 & 0xFF
    if reason not in (*Reason,):
        return None
    network, tenant = NetworkKey(body >> 16 & 0xFFFF), TenantKey(body & 0xFFFF)
    return Cookie(Kind.TOLD, network=network, tenant=tenant, reason=Reason(reason))
