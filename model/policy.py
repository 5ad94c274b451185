"""Policy: who may open a connection to whom, as operator and tenants wrote it, and whom it can concern.

Place: read from manifests and the store; judged, analysed and compiled by `pipelines.policy`. What the parts
mean together is decision 0056. Must not hold resolved addresses or flows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from model.addresses import Address, Prefix
from model.ids import PortKey, TenantKey, Uid
from model.labels import EVERYTHING, NAME, Labels, Selector, labels


class Tier(IntEnum):
    """In the order in which they judge. BASELINE is the operator's again, below what tenants say."""

    OPERATOR = 0
    TENANT = 1
    BASELINE = 2


class Direction(Enum):
    """From where a workload stands: OUT are connections that it opens, IN those that others open to it."""

    OUT = "out"
    IN = "in"


class Action(Enum):
    """PASS: the next tier decides."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"


class State(Enum):
    """COUNT: it decides nothing, and what it would have done is noted."""

    ENFORCE = "enforce"
    COUNT = "count"


class Change(Enum):
    """What a change of a policy does to established connections: they are judged again, or stay."""

    JUDGE = "judge"
    KEEP = "keep"


class Protocol(IntEnum):
    """Those that have a name; any other number is allowed as well (RFC 5237)."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


WITH_PORTS: Final = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
PORTS: Final = range(1 << 16)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Destination ports from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Service:
    """What of a protocol: `ports` None = all, `kind` (ICMP type) None = all, `code` None = all.

    ICMP is of IPv4 only, and ICMPv6 of IPv6 (RFC 4443 section 1).
    """

    protocol: int
    ports: PortRange | None = None
    kind: int | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Ports by their own labels, those of their network and those of their tenant; all must agree.

    `tenants` None: as a subject, ports of the policy's own tenant, of any tenant where it is the operator's;
    as a peer, ports of the subject's tenant. Others are for the operator's tiers alone.
    """

    ports: Selector = EVERYTHING
    networks: Selector = EVERYTHING
    tenants: Selector | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Addresses of a prefix, but for those of `excepted`, whoever has them."""

    prefix: Prefix
    excepted: tuple[Prefix, ...] = ()


Peer = Selection | Block


@dataclass(frozen=True, slots=True)
class Rule:
    """`peers`, `services`: any of them; none at all = every one.

    With ENFORCE, `share` is the percentage of the ports on which it is enforced; on the others it counts.
    """

    direction: Direction
    action: Action
    peers: tuple[Peer, ...] = ()
    services: tuple[Service, ...] = ()
    state: State = State.ENFORCE
    share: int = 100
    name: str = ""


def say(rule: Rule) -> tuple[Direction, Action, frozenset[Peer], frozenset[Service]]:
    """What a rule says, whatever it is called and however far it is enforced: any order of peers or services
    is the same."""
    return rule.direction, rule.action, frozenset(rule.peers), frozenset(rule.services)


@dataclass(frozen=True, slots=True)
class Default:
    """What becomes of what no rule takes; `action` is ALLOW or DENY. `share` as a rule's."""

    action: Action
    state: State = State.ENFORCE
    share: int = 100


@dataclass(frozen=True, slots=True)
class Defaults:
    """For each direction; None = nothing is said."""

    outward: Default | None = None
    inward: Default | None = None

    def of(self, direction: Direction) -> Default | None:
        return self.outward if direction is Direction.OUT else self.inward


_SILENT: Final = Defaults()


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules, by position, for the ports that `subject` takes. `tenant` is empty where it is the operator's.

    Within a tier, policies judge by `order`, then by name; the operator's before and after the tenants' by
    tier. `defaults` hold for the tier as a whole (decision 0056).
    """

    name: str
    tenant: str
    tier: Tier = Tier.TENANT
    order: int = 0
    subject: Selection = Selection()
    rules: tuple[Rule, ...] = ()
    defaults: Defaults = _SILENT
    on_change: Change = Change.JUDGE


NUMBERS: Final = range(1, 1 << 19)
"""Of rules and defaults, cluster-wide."""
HEIGHTS: Final = range(1, 65_001)
UNREAD: Final = NUMBERS[-2:]
"""Of these, those of the two rules, out and in, that stand for a policy that can't be read; no other has
them, nor the greatest height (controller.store.policies)."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What a rule or a default was allotted. `number`: its name in registers, labels and cookies, as long as
    it means the same. `height`: of two in one tier, of one tenant or both the operator's, the higher judges
    first."""

    number: int
    height: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy as the store has it. `owner` 0: it is the operator's. `seats`: of its rules, by position;
    `outward`, `inward`: of its defaults, None where nothing is said."""

    uid: Uid
    policy: Policy
    owner: TenantKey
    seats: tuple[Seat, ...]
    outward: Seat | None = None
    inward: Seat | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A port as policies see it. Labels without the names, which all have besides.

    `scope`: within it no two ports have the same address: the VRF of a routed network, or the network itself
    if it is not routed. `shown`: scopes in which other tenants see it.
    """

    key: PortKey
    uid: Uid
    tenant: str
    network: str
    name: str
    addresses: tuple[Address, ...]
    scope: int
    labels: Labels = ()
    network_labels: Labels = ()
    tenant_labels: Labels = ()
    shown: tuple[int, ...] = field(default=())


def borne(name: str, given: Labels) -> Labels:
    """The labels of an object with that of its name, which nobody can take away."""
    return labels({**dict(given), NAME: name}.items())
