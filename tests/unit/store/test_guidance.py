"""What a network tells its ports, as a text of the store: there and back, usual values left out, bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.guidance_texts import guidance_text, parse_guidance
from controller.store.schema import VERSION
from controller.store.server import Server
from controller.store.writer import Store
from model.guidance import LEASES, USUAL, Guidance
from model.wanted import WantedGuidance, WantedNetwork
from tests.unit.store.house import apply
from tests.unit.store.test_server import OLD, tool

ADDRESSES = st.one_of(st.builds(IPv4Address, st.integers(0, 2**32 - 1)), st.ip_addresses(v=6))
NAMES = st.from_regex(r"[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){0,2}", fullmatch=True)
ROUTES = st.tuples(
    st.builds(lambda n: IPv4Network((n << 8, 24)), st.integers(0, 2**24 - 1)),
    st.builds(IPv4Address, st.integers(0, 2**32 - 1)),
)
GUIDANCES = st.builds(
    Guidance,
    answers=st.booleans(),
    resolvers=st.lists(ADDRESSES, max_size=3).map(tuple),
    domain=st.one_of(st.just(""), NAMES),
    search=st.lists(NAMES, max_size=3).map(tuple),
    routes=st.lists(ROUTES, max_size=3).map(tuple),
    lease=st.sampled_from([LEASES[0], USUAL.lease, LEASES[-1]]),
    names=st.booleans(),
)


@given(GUIDANCES)
def test_it_is_read_back(guidance: Guidance) -> None:
    assert parse_guidance(guidance_text(guidance)) == guidance


def test_the_usual_is_no_text_and_order_is_kept() -> None:
    assert guidance_text(USUAL) == "" and parse_guidance("") is USUAL
    resolvers = (IPv6Address("fd00::53"), IPv4Address("10.0.0.53"))
    assert guidance_text(Guidance(resolvers=resolvers)) == '{"resolvers":["fd00::53","10.0.0.53"]}'
    assert parse_guidance('{"lease":900,"unheard_of":1}') == Guidance(lease=900)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        '{"lease":5}',
        '{"lease":"900"}',
        '{"answers":1}',
        '{"names":"no"}',
        '{"resolvers":"10.0.0.1"}',
        '{"resolvers":[7]}',
        '{"resolvers":["x"]}',
        '{"domain":[]}',
        '{"search":[1]}',
        '{"routes":[["192.0.2.0/24"]]}',
        '{"routes":[["192.0.2.1/24","10.0.0.1"]]}',
    ],
)
def test_what_does_not_fit_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_guidance(text)


def test_a_database_of_version_1_8_0_is_upgraded_and_takes_guidance(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.8.0.ovsschema")))
    home = {"tenant": ["named-uuid", "t"], "name": "prod", "key": 1, "vni": 7, "mtu": 1450}
    row = {"name": "acme", "key": 1, "l3vni": 9}
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {"op": "insert", "table": "Tenant", "uuid-name": "t", "row": row},
        {"op": "insert", "table": "Network", "row": home},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        assert store.contents().networks["acme", "prod"].value.guidance == USUAL
        apply(store, WantedNetwork("acme", "prod", guidance=WantedGuidance(answers=False, lease=900)))
        after = store.contents()
        assert after.networks["acme", "prod"].value.guidance == Guidance(answers=False, lease=900)
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION
