"""The view on random row changes: what was said step by step amounts to what a fresh view says at once."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.store import merging, rows
from controller.store.view import PARTS, View
from model.change import Part
from model.ids import HostName, Uid
from model.intent import Tenant
from model.policy import HEIGHTS, UNREAD, Action, Default, Defaults, Direction, Seat, Selection, Tier
from model.roll import Roll

HOST = HostName("h1")


RULES = (
    {"import_targets": ["set", []], "export_targets": ["set", []], "communities": ["set", []]},
    {
        "import_targets": ["set", ["derived", "65001:1"]],
        "export_targets": "derived",
        "communities": ["set", ["65000:1", "65000:1:2"]],
    },
)


def uid(table: str, index: int) -> str:
    return f"{[t for t, _ in PARTS].index(table):08d}-0000-4000-8000-{index:012d}"


def row(table: str, index: int, variant: int) -> rows.Row:
    """Whole, as a watch gives it."""
    return merging.of(table, frozenset()).complete(written(table, index, variant))


SPECS = (
    '{"in":{"action":"deny"},"rules":[{"action":"allow","direction":"in"}]}',
    "broken",
    '{"subject":{"ports":[["app","Exists"]]},"strange":1}',
    "{}",
)
SEATS = ('{"in":[3,4],"rules":[[1,9]]}', "{}", "{}", "{}")


def written(table: str, index: int, variant: int) -> rows.Row:
    parent = index % 2
    match table:
        case "Policy":
            return {
                "tenant": ["set", []] if index == 2 else ["uuid", uid("Tenant", parent)],
                "name": f"s{index}",
                "tier": "baseline" if index == 2 else "tenant",
                "order": variant,
                "spec": SPECS[variant],
                "seats": SEATS[variant],
            }
        case "Tenant":
            return {
                "name": f"t{index}",
                "key": index + 1,
                "l3vni": 90 + index if variant else ["set", []],
                "egress": "snat" if variant % 2 else ["set", []],
                "external": ["uuid", uid("External", parent)] if variant % 2 else ["set", []],
                "external_key": 50 + parent if variant % 2 else ["set", []],
                "egress_addresses": "192.0.2.9" if variant % 2 else ["set", []],
                "gateways": ["set", ["h1", "h2"]] if variant % 2 else ["set", []],
                "labels": ["map", [["plan", "gold"]]] if variant % 2 else ["map", []],
                "defaults": '{"in":{"action":"deny"}}' if variant % 2 else ["set", []],
                "default_in": 7 if variant % 2 else ["set", []],
                "gateway_active": "h2" if variant % 2 else ["set", []],
                "public_prefixes": "198.51.100.0/24" if variant % 2 else ["set", []],
                **RULES[variant % 2],
            }
        case "External":
            return {"name": f"e{index}", "key": 50 + index, "l3vni": 70 + variant, "pools": "192.0.2.0/24"}
        case "Peering":
            return {
                "tenant": ["uuid", uid("Tenant", parent)],
                "tenant_key": parent + 1,
                "name": f"h{index}",
                "peer": ["uuid", uid("Tenant", 1 - parent)],
                "peer_key": 2 - parent,
                "prefixes": f"10.{variant}.0.0/24",
            }
        case "Peering_Link":
            ends = {"first": ["uuid", uid("Tenant", 0)], "second": ["uuid", uid("Tenant", 1)]}
            return ends | {"key": 80 + variant, "l3vni": 81 + variant}
        case "Floating_Ip":
            return {
                "tenant": ["uuid", uid("Tenant", parent)],
                "tenant_key": parent + 1,
                "name": f"f{index}",
                "external": ["uuid", uid("External", parent)],
                "external_key": 50 + parent,
                "address": f"192.0.2.{index}",
                "port": ["uuid", uid("Port", variant)] if variant else ["set", []],
                "port_key": variant + 1 if variant else ["set", []],
                "target": "10.0.0.5" if variant else ["set", []],
            }
        case "Network":
            return {
                "tenant": ["uuid", uid("Tenant", parent)],
                "name": f"n{index}",
                "key": index + 1,
                "vni": index + 1,
                "subnets": ["set", ["10.0.0.0/24"]],
                "mtu": 1400 + variant,
                "replicate": False,
                "routed": ["set", []] if variant % 2 else False,
                "dscp": 46 if variant % 2 else ["set", []],
                "guidance": '{"lease":900}' if variant % 2 else ["set", []],
                **RULES[variant % 2],
            }
        case "Port":
            return {
                "tenant": ["uuid", uid("Tenant", parent)],
                "network": ["uuid", uid("Network", parent)],
                "name": f"p{index}",
                "key": index + 1,
                "mac": f"02:00:00:00:00:0{index}" if variant < 3 else "broken",
                "addresses": ["set", []],
                "hosts": "h1" if variant % 2 else ["set", ["h2", "h3"]],
                "allowed": f"10.0.0.{variant}/32 00:00:5e:00:01:0a" if variant % 2 else ["set", []],
                "rate_out": 1000 if variant % 2 else ["set", []],
                "rate_in": ["set", []],
                "enabled": ["set", []] if variant % 2 else False,
            }
        case "Route":
            return {
                "tenant": ["uuid", uid("Tenant", parent)],
                "name": f"r{index}",
                "prefix": "172.16.0.0/16" if variant < 3 else "broken",
                "next_hops": "10.0.0.5",
            }
        case "Binding":
            return {
                "port": ["uuid", uid("Port", index)],
                "key": index + 1 if variant % 2 else ["set", []],
                "network": ["uuid", uid("Network", parent)],
                "host": f"h{variant}",
                "sequence": variant,
                "active": True,
            }
        case "Seed":
            text = "broken" if variant == 3 else f'{{"data":"{variant}"}}'
            return {"port": ["uuid", uid("Port", index)], "hosts": "h1", "text": text}
        case "Gang":
            state = ("reserved", "active", "releasing", "strange")[variant]
            there = [["uuid", uid("Gang_Node", node)] for node in range(index, 4, 2)]
            return {
                "tenant": "t0",
                "name": "job",
                "generation": index,
                "state": state,
                "nodes": ["set", there],
            }
        case "Gang_Node":
            text = f"1 fe0 0 {variant} - - - 10.9.0.{index}" if variant < 3 else "broken"
            return {"generation": index % 2, "node": f"n{9 - index}", "interfaces": text}
        case _:
            return {"generation": variant, "asn": 1, "reflectors": ["set", []]}


ONLY = {"Cluster": 0, "Peering_Link": 0}
ONES = {"Cluster": 1, "Peering_Link": 1, "Gang_Node": 4}
PLACES = st.tuples(
    st.sampled_from(
        [
            "Cluster",
            "Tenant",
            "Network",
            "Port",
            "Binding",
            "Route",
            "External",
            "Floating_Ip",
            "Peering",
            "Peering_Link",
            "Policy",
            "Seed",
            "Gang",
            "Gang_Node",
        ]
    ),
    st.integers(0, 3),
    st.integers(-1, 3),
)


def test_the_rows_that_are_drawn_can_be_read() -> None:
    view = View(HOST)
    for table, part in PARTS:
        if part not in (Part.HYPERVISOR, Part.CLASS):
            for index in range(ONES.get(table, 2)):
                view.touch(table, Uid(uid(table, index)), row(table, index, 0))
    said = {part for part, _, _ in view.everything().upserts}
    assert said == {part for _, part in PARTS} - {Part.HYPERVISOR, Part.CLASS}


@given(st.lists(st.lists(PLACES, max_size=5), max_size=12))
@settings(max_examples=300, deadline=None)
def test_steps_amount_to_the_whole(turns) -> None:
    view, fresh, told = View(HOST), View(HOST), {}
    last = {}
    for turn in turns:
        for table, index, variant in turn:
            index = ONLY.get(table, index) if table not in {"Peering", "Gang"} else index % 2
            now = None if variant < 0 else row(table, index, variant)
            view.touch(table, uid(table, index), now)
            last[table, index] = now
        batch = view.settle()
        for key in batch.deletes:
            del told[key]  # never said of what was not told before
        for part, key, value in batch.upserts:
            assert told.get((part, key)) != value
            told[part, key] = value
    for (table, index), now in sorted(last.items(), reverse=True):
        fresh.touch(table, uid(table, index), now)
    whole = {(part, key): value for part, key, value in fresh.everything().upserts}
    assert told == whole
    assert {(p, k): v for p, k, v in view.everything().upserts} == whole
    assert view.scope() == fresh.scope()


def policies(view: View) -> dict:
    return {key: value for part, key, value in view.everything().upserts if part is Part.POLICY}


def test_a_policy_waits_for_its_tenant_and_goes_with_it() -> None:
    view, place = View(HOST), Uid(uid("Policy", 0))
    view.touch("Policy", place, row("Policy", 0, 0))
    assert not policies(view)
    view.touch("Tenant", Uid(uid("Tenant", 0)), row("Tenant", 0, 0))
    batch = view.settle()
    assert [(part, key) for part, key, _ in batch.upserts] == [(Part.TENANT, 1), (Part.POLICY, place)]
    found = policies(view)[place]
    assert (found.owner, found.policy.tenant, found.policy.tier) == (1, "t0", Tier.TENANT)
    assert (found.seats, found.outward, found.inward) == ((Seat(1, 9),), None, Seat(3, 4))
    view.touch("Tenant", Uid(uid("Tenant", 0)), None)
    assert view.settle().deletes == ((Part.POLICY, place), (Part.TENANT, 1))


def test_a_policy_that_cannot_be_read_cuts_its_ports_off(caplog) -> None:
    view, place = View(HOST), Uid(uid("Policy", 2))
    view.touch("Policy", place, row("Policy", 2, 0))
    assert policies(view)[place].policy.tier is Tier.BASELINE and not caplog.text
    view.touch("Policy", place, row("Policy", 2, 2))
    sealed = policies(view)[place]
    assert "policy can't be read, its ports are cut off policy=/s2: ValueError: 'strange'" in caplog.text
    assert [(rule.direction, rule.action) for rule in sealed.policy.rules] == [
        (Direction.OUT, Action.DENY),
        (Direction.IN, Action.DENY),
    ]
    assert not any(rule.peers or rule.services for rule in sealed.policy.rules)
    assert [seat.number for seat in sealed.seats] == [*UNREAD]
    assert {seat.height for seat in sealed.seats} == {HEIGHTS[-1]}
    assert [one.key for one in sealed.policy.subject.ports.requirements] == ["app"]
    view.touch("Policy", place, row("Policy", 2, 1))
    assert policies(view)[place].policy.subject == Selection(), "with no subject it is all of them"
    view.touch("Policy", place, row("Policy", 2, 3))
    assert policies(view)[place].policy.rules == ()


def tenant(view: View, **columns) -> Tenant:
    place = Uid(uid("Tenant", 0))
    view.touch("Tenant", place, {**row("Tenant", 0, 1), **columns})
    (found,) = (value for part, _, value in view.everything().upserts if part is Part.TENANT)
    return found


def test_a_tenant_that_cannot_be_read_stays_known_to_policies(caplog) -> None:
    view = View(HOST)
    sound = tenant(view)
    assert sound.defaults.inward == Default(Action.DENY) and sound.seats == (0, 7) and not caplog.text
    strange = tenant(view, egress="by-air")
    assert "tenant can't be read, nothing is routed for it tenant=t0: 'by-air'" in caplog.text
    kept = ("name", "key", "labels", "defaults", "seats")
    assert [getattr(strange, name) for name in kept] == [getattr(sound, name) for name in kept]
    assert strange.l3vni == 0 and sound.labels == (("plan", "gold"),)


@pytest.mark.parametrize(
    "columns", [{"defaults": "broken"}, {"defaults": '{"in":{"action":"allow","if":1}}'}, {"default_in": 0}]
)
def test_defaults_that_cannot_be_read_let_nothing_pass(columns: dict) -> None:
    found = tenant(View(HOST), **columns)
    assert found.defaults == Defaults(Default(Action.DENY), Default(Action.DENY))
    assert found.seats == (*UNREAD,) and found.l3vni == 0


def test_what_came_and_went_leaves_nothing_behind() -> None:
    """Or tenants that make and delete ports for long enough fill the agent's memory."""
    view = View(HOST)
    port = {
        "key": 1,
        "hosts": "hv1",
        "allowed": ["set", []],
        "network": ["uuid", "n"],
        "tenant": ["uuid", "t"],
    }
    for _ in range(2):
        view.touch("Port", Uid("p"), port)
        view.touch("Binding", Uid("b"), {"port": ["uuid", "p"], "host": "hv1"})
        assert view._children
        view.touch("Binding", Uid("b"), None)
        view.touch("Port", Uid("p"), None)
        view.settle()
    assert not view._children
    assert not view._rows


def gangs_of(view: View) -> dict:
    return {key: value for part, key, value in view.everything().upserts if part is Part.GANG}


def test_a_gang_is_there_when_all_its_nodes_are_and_as_long_as_it_has_slots() -> None:
    view = View(HOST)
    rows_of = {(table, n): Uid(uid(table, n)) for table in ("Gang", "Gang_Node") for n in range(4)}
    view.touch("Gang", rows_of["Gang", 1], row("Gang", 1, 1))
    view.touch("Gang_Node", rows_of["Gang_Node", 1], row("Gang_Node", 1, 0))
    assert gangs_of(view) == {}
    view.touch("Gang_Node", rows_of["Gang_Node", 3], row("Gang_Node", 3, 2))
    ranks = (((2, (ip_address("10.9.0.3"),)),), ((0, (ip_address("10.9.0.1"),)),))
    assert gangs_of(view) == {1: Roll(1, "t0", "job", ranks)}, "ranks are in the order of the nodes' names"
    assert view.settle().upserts == ()
    view.touch("Gang", rows_of["Gang", 1], row("Gang", 1, 0))
    batch = view.settle()
    assert (batch.upserts, batch.deletes) == ((), ()), "how far it is changes no name"
    view.touch("Gang", rows_of["Gang", 1], row("Gang", 1, 2))
    assert view.settle().deletes == ((Part.GANG, 1),)


def test_hosts_ask_for_gangs_of_tenants_whose_ports_they_have() -> None:
    """Led tenants are known, but nobody there asks for names."""
    view = View(HOST)
    view.touch("Gang", Uid(uid("Gang", 0)), row("Gang", 0, 1))
    view.touch("Tenant", Uid(uid("Tenant", 0)), row("Tenant", 0, 1))
    assert (view.scope().names, view.scope().gangs) == (frozenset(), frozenset())
    view.touch("Port", Uid(uid("Port", 0)), row("Port", 0, 1))
    assert (view.scope().names, view.scope().gangs) == ({"t0"}, {0})
    view.touch("Gang", Uid(uid("Gang", 0)), row("Gang", 0, 2))
    assert (view.scope().names, view.scope().gangs) == ({"t0"}, set()), (
        "its nodes are nobody's names any more"
    )
