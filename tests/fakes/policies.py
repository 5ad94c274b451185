"""A small world of ports with labels, and drawn policies and connections over it.

Place: under the tests of policy: verdict, analysis, flows, promotion. Drawn from few values, so that rules
meet, cover and contradict each other often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import product

from hypothesis import strategies as st

from model.addresses import Address
from model.ids import PortKey, Uid
from model.labels import Operator, Requirement, Selector, labels
from model.policy import (
    WITH_PORTS,
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Endpoint,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from pipelines.policy.verdict import Connection

OUTSIDE = tuple(
    ip_address(text) for text in ("10.0.0.1", "10.0.0.99", "198.51.100.7", "2001:db8:9::7", "fd00::2")
)
"""Strangers. Two have addresses that ports of ours have, too."""


def port(key: int, *addresses: str, scope: int = 1, tenant: str = "acme", network: str = "blue") -> Endpoint:
    """A port whose uid and name follow from its key."""
    uid = Uid(f"00000000-0000-4000-8000-{key:012x}")
    own = tuple(ip_address(text) for text in addresses)
    return Endpoint(PortKey(key), uid, tenant, network, f"p{key}", own, scope)


def labelled(one: Endpoint, **given: str) -> Endpoint:
    return replace(one, labels=labels(given.items()))


WEB, APP, DB, LONER, TWIN, ALIEN = WORLD = (
    labelled(port(1, "10.0.0.1", "fd00::1"), app="web", tier="front"),
    labelled(port(2, "10.0.0.2", "fd00::2"), app="app"),
    labelled(port(3, "10.0.1.3", "fd00:1::3", network="green"), app="db", tier="back"),
    labelled(port(4, "10.0.0.2", scope=2, network="island"), app="app"),
    labelled(port(6, "10.0.0.1", scope=2, network="island"), app="db"),
    labelled(port(5, "10.9.0.5", scope=3, tenant="umbrella", network="red"), app="web"),
)
"""Two routed networks of acme; in one that is not, LONER and TWIN, with addresses of APP and WEB; and ALIEN,
of another tenant."""

requirements = st.one_of(
    st.builds(
        Requirement,
        st.sampled_from(("app", "tier")),
        st.sampled_from((Operator.IN, Operator.NOT_IN)),
        st.lists(st.sampled_from(("app", "back", "db", "front", "web")), min_size=1, max_size=2, unique=True)
        .map(sorted)
        .map(tuple),
    ),
    st.builds(
        Requirement,
        st.sampled_from(("app", "tier")),
        st.sampled_from((Operator.EXISTS, Operator.DOES_NOT_EXIST)),
    ),
)
selectors = st.builds(Selector, st.lists(requirements, max_size=2).map(tuple))
narrow_selectors = st.one_of(st.just(Selector()), selectors)
networks = st.one_of(
    st.just(Selector()),
    st.sampled_from(("blue", "green", "island")).map(
        lambda name: Selector((Requirement("ringfence/name", Operator.IN, (name,)),))
    ),
)
selections = st.builds(Selection, narrow_selectors, networks)
PREFIXES = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.0.0.0/31",
        "10.0.0.2/32",
        "128.0.0.0/1",
        "::/0",
        "fd00::/16",
        "fd00::/64",
        "fd00::2/128",
        "8000::/1",
    )
)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    prefix = draw(st.sampled_from(PREFIXES))
    inner = [p for p in PREFIXES if p.version == prefix.version and p != prefix and p.subnet_of(prefix)]  # type: ignore[arg-type]
    excepted = draw(st.lists(st.sampled_from(inner), max_size=2, unique=True)) if inner else []
    return Block(prefix, tuple(excepted))


peers = st.one_of(selections, blocks())
BOUNDS = (0, 1, 79, 80, 81, 443, 1023, 1024, 32767, 65535)
ranges = st.tuples(st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)).map(lambda b: PortRange(min(b), max(b)))
services = st.one_of(
    st.builds(
        Service,
        st.sampled_from((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
        st.one_of(st.none(), ranges),
    ),
    st.builds(
        lambda protocol, kind, code: Service(protocol, kind=kind, code=None if kind is None else code),
        st.sampled_from((Protocol.ICMP, Protocol.ICMPV6)),
        st.sampled_from((None, 3, 8, 128)),
        st.sampled_from((None, 0, 4)),
    ),
    st.just(Service(47)),
)
states = st.sampled_from((State.ENFORCE, State.ENFORCE, State.COUNT))
shares = st.sampled_from((100, 100, 50))
rules = st.builds(
    Rule,
    st.sampled_from(Direction),
    st.sampled_from((Action.ALLOW, Action.ALLOW, Action.DENY, Action.DENY, Action.PASS)),
    st.lists(peers, max_size=2).map(tuple),
    st.lists(services, max_size=2).map(tuple),
    states,
    shares,
)
defaults = st.one_of(
    st.none(), st.builds(Default, st.sampled_from((Action.ALLOW, Action.DENY)), states, shares)
)
of_both = st.builds(Defaults, defaults, defaults)


@st.composite
def policy_sets(draw: st.DrawFn) -> tuple[Policy, ...]:
    """Some policies of each tier."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        tier = draw(st.sampled_from(Tier))
        made.append(
            Policy(
                name=f"policy-{number}",
                tenant="acme" if tier is Tier.TENANT else "",
                tier=tier,
                order=draw(st.integers(0, 1)),
                subject=draw(selections),
                rules=tuple(draw(st.lists(rules, max_size=4))),
                defaults=draw(of_both),
            )
        )
    return tuple(made)


tenants = st.one_of(st.just({}), of_both.map(lambda both: {"acme": both}))


def _carried(version: int) -> Iterator[tuple[int, int, int, int]]:
    """(protocol, port, ICMP type, ICMP code)"""
    yield from product(WITH_PORTS, (*BOUNDS, 8080), (0,), (0,))
    yield from product((Protocol.ICMP if version == 4 else Protocol.ICMPV6,), (0,), (3, 8, 128), (0, 4))
    yield 47, 0, 0, 0


def _everything() -> Iterator[Connection]:
    for ours in WORLD:
        near = [one for one in WORLD if one.scope == ours.scope and one is not ours]
        others: list[tuple[Endpoint | None, Address]] = [(None, address) for address in OUTSIDE]
        others += [(one, address) for one in near for address in one.addresses]
        for own, (other, far) in product(ours.addresses, others):
            for carried in _carried(own.version) if own.version == far.version else ():
                yield Connection(ours, other, own, far, *carried)
                if other is None:
                    yield Connection(None, ours, far, own, *carried)


CONNECTIONS = tuple(_everything())
connections = st.sampled_from(CONNECTIONS)
"""Between ports that can meet, or one of them and somebody outside."""
