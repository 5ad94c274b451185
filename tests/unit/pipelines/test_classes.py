"""Egress classes: relations and prefixes, which of them wins, versions, and what many prefixes cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import classes
from model.addresses import GATEWAY_MAC
from model.change import Change, Part
from model.ids import ClassId
from model.intent import EgressClass, Relation
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.accounts import classifies, is_counter
from pipelines.check import check_flows
from pipelines.compile import Program, compile, recompile
from pipelines.tables import CLASSES
from tests.fakes import packets as p
from tests.fakes import peering, world
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch

DAY = 86_400_000


def open_to_all() -> Snapshot:
    """Tenants 1 and 2 peered, a default route of tenant 1 in both families, and a class for each relation."""
    over = [str(a) for a in world.routed_port(21, world.HERE).addresses]
    ways = (world.static_route(t, t, over[i : i + 1]) for i, t in enumerate(("0.0.0.0/0", "::/0")))
    return world.related(world.added(peering.peered(), *ways))


def sent(snapshot: Snapshot, to: str, sender: int = 11) -> int | None:
    """The class as which a packet of a port's counts, sent to a neighbour or else to the gateway."""
    one, target = snapshot.ports[world.PortKey(sender)], ip_address(to)
    make = p.ipv4 if target.version == 4 else p.ipv6
    source = next(a for a in one.addresses if a.version == target.version)
    near = next((n.mac for n in snapshot.ports.values() if target in n.addresses), None)
    local = any(target in subnet for subnet in snapshot.networks[one.network].subnets)
    mac = int(near if local and near is not None else GATEWAY_MAC)
    return billed(snapshot, make(int(one.mac), mac, int(source), int(target)) | {"in_port": sender})


def billed(snapshot: Snapshot, packet: Packet) -> int | None:
    for _, flow in Switch.of(compile(snapshot).flows()).receive(packet).path:
        cookie = None if flow is None else cookies.parse(flow.cookie)
        if cookie is not None and cookie.kind is cookies.Kind.ACCOUNT:
            return cookie.cls
    return None


@pytest.mark.parametrize(
    ("to", "cls"),
    [
        ("10.0.1.12", 0),  # its own network
        ("fd00:0:0:1::c", 0),
        ("10.0.2.11", 5),  # another network of its tenant, though class 9 has 10.0.0.0/8
        ("fd00:0:0:2::b", 5),
        ("10.0.6.11", 6),  # across the peering
        ("fd00:0:0:6::b", 6),
        ("10.99.0.1", 9),  # by prefix
        ("fd99::1", 9),
        ("198.51.100.9", 8),  # a prefix of the internet
        ("2001:db8:7::9", 8),
        ("192.0.2.77", 7),
        ("8.8.8.8", 7),
        ("2001:4860::8", 7),
        ("100.64.0.1", 1),  # neither public nor anybody's
        ("172.31.255.1", 1),
        ("172.32.0.1", 7),
        ("4001::1", 1),  # not given out yet
    ],
)
def test_what_a_destination_is(to: str, cls: int) -> None:
    assert sent(open_to_all(), to) == cls


def test_no_class_without_a_flow_that_counts() -> None:
    snapshot = open_to_all()
    flows = tuple(compile(snapshot).flows())
    check_flows(flows)
    counted = {flow.values for flow in flows if is_counter(flow)}
    assert counted == {(key, cls) for key in (11, 21, 41, 61, 66, 71) for cls in (0, 1, 2, 5, 6, 7, 8, 9)}


def test_without_relations_all_is_by_prefix() -> None:
    snapshot = open_to_all()
    for key in (5, 6, 7):
        snapshot = world.with_part(snapshot, Part.CLASS, ClassId(key), None)
    found = {to: sent(snapshot, to) for to in ("10.0.1.12", "10.0.2.11", "10.0.6.11", "8.8.8.8")}
    assert found == {"10.0.1.12": 0, "10.0.2.11": 9, "10.0.6.11": 9, "8.8.8.8": 1}


def test_a_tenant_of_the_same_addresses_has_its_own_relations() -> None:
    snapshot = open_to_all()
    assert sent(snapshot, "10.0.6.11", 66) == 0
    assert sent(snapshot, "10.0.2.11", 66) is None, "no way there: nothing is counted"


DATED = EgressClass(
    world.Uid("class-8"),
    "c8",
    ClassId(8),
    (ip_network("203.0.113.0/24"),),
    since=DAY,
    former=(ip_network("198.51.100.0/24"),),
    former_relations=(Relation.PEERED_TENANT,),
)


@pytest.mark.parametrize(("moment", "found"), [(0, (8, 7, 8)), (DAY - 1, (8, 7, 8)), (DAY, (7, 8, 9))])
def test_a_version_holds_from_its_moment_on(moment: int, found: tuple[int, ...]) -> None:
    base = world.with_part(open_to_all(), Part.CLASS, ClassId(6), None)
    snapshot = replace(world.added(base, DATED), moment=moment)
    assert tuple(sent(snapshot, to) for to in ("198.51.100.9", "203.0.113.9", "10.0.6.11")) == found


def turned(program: Program, snapshot: Snapshot, moment: int) -> tuple[Program, Snapshot]:
    """What the agent does when time passes."""
    due = classes.turned(snapshot.classes.values(), snapshot.moment, moment)
    now = replace(snapshot, moment=moment)
    made, _ = recompile(program, snapshot, now, [Change(Part.CLASS, key) for key in due])
    return made, now


VERSIONS = st.builds(
    EgressClass,
    uid=st.just(world.Uid("class")),
    name=st.just("c"),
    id=st.sampled_from([ClassId(n) for n in (5, 6, 7)]),
    prefixes=st.sampled_from([(), DATED.prefixes, DATED.former]),
    relations=st.sets(st.sampled_from([*Relation])).map(lambda some: tuple(sorted(some, key=str))),
    since=st.integers(0, 4),
    former=st.sampled_from([(), DATED.former]),
    former_relations=st.sets(st.sampled_from([*Relation])).map(lambda some: tuple(sorted(some, key=str))),
)


@given(st.lists(VERSIONS, max_size=3), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_clock_that_moves_changes_what_it_turns_and_no_more(
    some: list[EgressClass], moments: list[int]
) -> None:
    snapshot = world.added(peering.peered(), *some)
    program = compile(snapshot)
    for moment in moments:
        program, snapshot = turned(program, snapshot, moment)
        assert program == compile(snapshot)


def test_a_prefix_that_passes_from_class_to_class_is_put_and_never_dropped() -> None:
    both = world.added(
        world.routed(), world.egress_class(8, ["203.0.113.0/24"]), world.egress_class(9, ["192.0.2.0/24"])
    )
    after = world.added(
        both, world.egress_class(8, []), world.egress_class(9, ["192.0.2.0/24", "203.0.113.0/24"])
    )
    changes = [Change(Part.CLASS, ClassId(n)) for n in (8, 9)]
    _, patch = recompile(compile(both), both, after, changes)
    assert [[len(part) for part in group] for group in patch.groups] == [[1, 0]]


MANY = tuple(f"{20 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24" for n in range(8_000)) + tuple(
    f"2001:db8:{n:x}::/48" for n in range(2_000)
)


def crowd(ports: int, prefixes: tuple[str, ...]) -> Snapshot:
    """A host with so many ports, and three classes that share the prefixes."""
    made = [world.egress_class(2 + n, prefixes[n::3]) for n in range(3)]
    snapshot = world.added(world.empty(), world.tenant(1), world.network(1, subnets=["10.0.0.0/16"]), *made)
    for n in range(1, ports + 1):
        one = world.port(n, 1, 0x020000000000 | n, [f"10.0.{n // 200}.{n % 200 + 1}"])
        snapshot = world.plugged(snapshot, one, n)
    return snapshot


def test_flows_grow_with_prefixes_and_ports_not_with_their_product() -> None:
    def flows(ports: int, prefixes: int) -> Counter[int]:
        return Counter(flow.shape.table for flow in compile(crowd(ports, MANY[:prefixes])).flows())

    one, all_ = flows(1, 3), flows(100, len(MANY))
    assert all_[CLASSES.number] - one[CLASSES.number] == len(MANY) - 3
    assert sum(all_.values()) - all_[CLASSES.number] < 100 * sum(one.values())
    assert all_ - flows(100, 3) == Counter({CLASSES.number: len(MANY) - 3}), "prefixes cost nothing elsewhere"


def test_one_prefix_more_is_one_flow_more() -> None:
    before = crowd(3, MANY)
    value = before.classes[ClassId(2)]
    more = replace(value, prefixes=(*value.prefixes, ip_network("203.0.113.0/24")))
    after = world.added(before, more)
    _, patch = recompile(compile(before), before, after, [Change(Part.CLASS, ClassId(2))])
    ((put, drop),) = patch.groups
    assert (len(put), len(drop), classifies(put[0])) == (1, 0, True)
