"""Each feature alone: the flows that it makes of one object, sorted, with names of tables.

The files in `golden/` were read by a person when they were made. To make them again after a wanted change:
`python tests/unit/pipelines/test_golden.py`, then read the difference.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from model.addresses import router_mac
from model.change import Part
from model.ids import NetworkKey
from model.labels import matching
from model.policy import Action, Block, Direction, Policy, PortRange, Rule, Selection, Service, State
from model.route import FloodVtep, RemoteAddress, Sighting
from model.snapshot import Snapshot
from pipelines import objects as o
from pipelines.features import FEATURES, Feature
from pipelines.index import build
from pipelines.policy.grouping import name
from pipelines.render import named
from pipelines.views import view
from tests.fakes import outward, peering, world
from tests.fakes.policies import APP, DB, WEB
from tests.fakes.under_policy import host, ruled

JUDGING = zip((1, 2, 3), (State.ENFORCE, State.ENFORCE, State.COUNT), strict=True)
NAME = name(((number, world.Uid("policy-web")), state) for number, state in JUDGING)
"""Of the group of WEB in `judged`."""

GOLDEN = Path(__file__).parent / "golden"
SUBJECTS = {
    o.Kind.HOST: [o.HOST],
    o.Kind.CLASS: [o.egress_class(world.ClassId(n)) for n in (2, 3, 7)],
    o.Kind.RULE: [o.rule((number, world.Uid("policy-web"))) for number in (1, 2, 3)],
    o.Kind.MEMBER: [o.member(APP.key)],
    o.Kind.ADDRESSEE: [o.addressee(APP.key), o.addressee(DB.key)],
    o.Kind.GROUP: [o.group(NAME)],
    o.Kind.JUDGED: [o.judged(WEB.key), o.judged(APP.key)],
    o.Kind.DRAINING: [o.draining(WEB.key), o.draining(APP.key)],
    o.Kind.NETWORK: [o.network(NetworkKey(1)), o.network(NetworkKey(2))],
    o.Kind.VTEP: [o.vtep(NetworkKey(1), world.HostName("hv2")), o.vtep(NetworkKey(1), world.HostName("hv4"))],
    o.Kind.PORT: [o.port(world.PortKey(11))],
    o.Kind.PATH: [o.path(world.HostName(f"hv{n}")) for n in (2, 3, 4)],
    o.Kind.WAITING: [o.waiting(world.PortKey(13))],
    o.Kind.ADDRESS: [o.address(NetworkKey(1), ip_address(a)) for a in ("10.0.0.100", "fd00::100")],
    o.Kind.REMOTE: [o.remote(NetworkKey(1), world.Mac(0x020000000003))],
    o.Kind.VRF: [o.vrf(world.TenantKey(1))],
    o.Kind.SUBNETS: [o.subnets(NetworkKey(n)) for n in (2, 3, 4)],
    o.Kind.FLOATING: [o.floating(outward.floating(11, version).uid) for version in (4, 6)],
    o.Kind.EGRESS: [o.egress(world.TenantKey(1))],
    o.Kind.EXTERNAL: [o.external(outward.EXTERNAL)],
    o.Kind.OUTSIDE: [
        o.outside(outward.EXTERNAL, p) for p in map(ip_network, ("0.0.0.0/0", "2001:db8:f::13/128"))
    ],
    o.Kind.SENDER: [o.sender(world.TenantKey(1), world.HostName(f"hv{n}")) for n in (2, 3, 4)],
    o.Kind.PREFIX: [o.prefix(world.TenantKey(1), ip_network(p)) for p in ("fd51::/48", "10.50.7.0/24")],
    o.Kind.ROUTE: [
        o.route(NetworkKey(n), world.Mac(0x020000000000 | n << 8 | last)) for n, last in ((3, 2), (3, 3))
    ],
    o.Kind.NARROW: [o.narrow(NetworkKey(n)) for n in (1, 2, 3)],
    o.Kind.PEERING: [o.peering(peering.KEY)],
    o.Kind.PEERED: [
        o.peered(peering.KEY, ip_network(a)) for a in ("10.0.1.12/32", "fd00:0:0:6::c/128", "10.0.6.11/32")
    ],
}

BRIDGED = (
    *(o.Kind.HOST, o.Kind.CLASS, o.Kind.NETWORK),
    *(o.Kind.VTEP, o.Kind.PORT, o.Kind.REMOTE),
)
ROUTING = ("gateway", "route", "arrival")


def over_ipv6() -> Snapshot:
    """A host whose underlay is IPv6: one local port, one remote."""
    vtep = ip_address("2001:db8::2")
    snapshot = world.added(
        world.empty("2001:db8::1"),
        world.network(1, replicate=True, subnets=["fd00::/64"]),
        world.hypervisor("hv2", str(vtep)),
        world.port(13, 1, 0x020000000003, ["fd00::3"], ["hv2"]),
        world.remote(1, 0x020000000003, str(vtep), ["fd00::3"]),
        FloodVtep(NetworkKey(1), vtep),
    )
    return world.plugged(snapshot, world.port(11, 1, 0x020000000001, ["fd00::1"]), 1)


def routed_over_ipv6() -> Snapshot:
    """The routed world over an IPv6 underlay."""
    return world.routed("2001:db8::1", ("2001:db8::2", "2001:db8::3"))


def shared(snapshot: Snapshot, vtep: str) -> Snapshot:
    """Port 11 has spoken for 10.0.0.100, somebody behind a VTEP for fd00::100."""
    four, six = ip_address("10.0.0.100"), ip_address("fd00::100")
    here = Sighting(NetworkKey(1), four, world.Mac(0x020000000001), world.PortKey(11), 0)
    there = RemoteAddress(NetworkKey(1), six, world.Mac(3), ip_address(vtep), 0, router_mac(2))
    snapshot = world.with_part(world.allowing(snapshot, 11), Part.SIGHTING, (here.network, four), here)
    return world.with_part(snapshot, Part.CLAIMED, (there.network, six), there)


def judged() -> Snapshot:
    """Of WEB three rules judge; one of them counts. APP is their peer, and under no policy."""
    selected = Selection(matching([("app", "app")]))
    rules = (
        Rule(Direction.IN, Action.ALLOW, (selected,), (Service(6, PortRange(80, 83)),)),
        Rule(Direction.IN, Action.DENY, (selected, Block(ip_network("192.0.2.0/24")))),
        Rule(Direction.IN, Action.DENY, state=State.COUNT),
    )
    policy = Policy("web", "acme", subject=Selection(matching([("app", "web")])), rules=rules)
    snapshot = ruled(host(), (policy,), {})[0]
    return world.with_part(snapshot, Part.ZONE, ("draining", APP.key), 999)


def forbidden(state: State) -> Snapshot:
    """WEB may send nothing, or that counts; APP has allowed pairs, and a prefix is routed to it."""
    rules = tuple(Rule(Direction.OUT, Action.DENY, state=each) for each in (State.COUNT, state))
    policy = Policy("web", "acme", subject=Selection(matching([("app", "web")])), rules=rules)
    snapshot = ruled(host(), (policy,), {})[0]
    snapshot = world.allowing(snapshot, APP.key)
    route = world.static_route("a", "10.50.0.0/16", ["10.0.0.2"])
    return world.with_part(snapshot, Part.STATIC_ROUTE, route.uid, route)


def made(feature: Feature) -> str:
    """The flows of a feature for its subjects, of a cluster over IPv4 and of one over IPv6."""
    parts = []
    routes = feature.name in ROUTING or feature.kind not in BRIDGED
    worlds = (world.routed(), routed_over_ipv6()) if routes else (world.two_tenants(), over_ipv6())
    if feature.kind is o.Kind.PREFIX:
        worlds = (world.hopped(), world.hopped())
    if feature.kind in (o.Kind.PEERING, o.Kind.PEERED):
        far = ("2001:db8::2", "2001:db8::3")
        worlds = (peering.peered(), peering.peered("2001:db8::1", far))
    if feature.name in ("pairs", "virtual routers"):
        worlds = (world.allowing(worlds[0], 11), world.allowing(worlds[1], 11))
    if feature.name in ("quality", "size"):
        worlds = (world.qualified(), over_ipv6())
    if feature.name == "egress class":
        worlds = (world.related(worlds[0]), world.related(worlds[1]))
    if feature.kind is o.Kind.NARROW:
        worlds = (world.narrowed(), world.narrowed())
    if feature.kind is o.Kind.ADDRESS:
        worlds = (shared(world.two_tenants(), "192.0.2.2"), shared(over_ipv6(), "2001:db8::2"))
    if feature.kind is o.Kind.WAITING:
        worlds = (world.moving(world.two_tenants(), 13, 7), world.moving(over_ipv6(), 13, 7))
    if feature.name == "outward":
        worlds = (outward.leaving(), outward.leaving("hv2"))
    if feature.name == "policy":
        worlds = (judged(), judged())
    if feature.name == "addressee":
        worlds = (forbidden(State.ENFORCE), forbidden(State.COUNT))
    if feature.name == "serving":
        worlds = (world.served(worlds[0]), worlds[1])
    if feature.name == "inward":
        worlds = (world.related(outward.leaving()), world.related(world.two_tenants()))
    for title, snapshot in zip(("IPv4", "IPv6"), worlds, strict=True):
        index = build(snapshot)
        for subject in SUBJECTS[feature.kind]:
            shown = view(snapshot, index, subject)
            lines = [] if shown is None else sorted(named(flow) for flow in feature.flows(shown))
            head = f"# {subject.kind.name.lower()} {subject.major} {subject.minor:x} {subject.name}".rstrip()
            parts.append("\n".join([f"{head}, underlay {title}", *(lines or ["(none)"])]))
    return "\n\n".join(parts) + "\n"


def path(feature: Feature) -> Path:
    return GOLDEN / f"{feature.name.replace(' ', '-')}.{feature.kind.name.lower()}.txt"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: path(feature).stem)
def test_golden(feature: Feature) -> None:
    assert made(feature) == path(feature).read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {path(feature).name for feature in FEATURES}


if __name__ == "__main__":
    for each in FEATURES:
        path(each).write_text(made(each))
