"""The embedded server: serves both databases, upgrades old files, refuses newer ones, dies with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from controller.store.identity import row_uid
from controller.store.schema import VERSION, columns, intent_schema, parse_version
from controller.store.server import Server
from controller.store.wire import Connection
from controller.store.writer import Store
from model.addresses import parse_mac
from model.errors import Invalid, RingfenceError, Unavailable
from model.gang import Quota
from model.ids import HostName, Vni
from model.intent import Guard, Pair, Policy
from model.segments import parse_segment
from model.targets import DERIVED, PLAIN, Rules, parse_any, parse_target
from model.wanted import WantedHypervisor, WantedNetwork, WantedPort, WantedTenant
from tests.unit.store.house import OLD, apply, base, poll, port, serving


def tool(*arguments: str) -> str:
    done = subprocess.run(["ovsdb-tool", *arguments], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_it_serves_both_databases_from_one_directory(server: Server, directory: Path) -> None:
    connection = Connection(server.remote)
    assert set(connection.call("list_dbs", [])) == {"Ringfence", "Ringfence_Reports", "_Server"}
    connection.close()
    assert {p.name for p in (directory / "db").iterdir()} >= {
        "ringfence.db",
        "reports.db",
        "store.sock",
        "store.pid",
    }
    assert int((directory / "db" / "store.pid").read_text()) == server.pid


def test_rows_outlive_the_server(server: Server, store: Store) -> None:
    apply(store, *base())
    server.stop()
    assert server.pid == 0
    server.start()
    assert set(store.read_all().tenants) == {"acme", "umbra"}


def test_a_second_server_on_the_same_files_is_refused(server: Server, directory: Path) -> None:
    second = Server(directory / "db")
    with pytest.raises(Unavailable) as caught:
        second.start()
    assert caught.value.faults[0].rule == "store-not-started"
    assert second.pid == 0
    assert alive(server.pid)


def test_it_dies_with_its_parent(directory: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from controller.store.server import Server\n"
        "server = Server(Path(sys.argv[1])); server.start(); print(server.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(directory / "db")],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout is not None and parent.stdin is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(20)
    poll(lambda: not alive(child))
    parent.stdout.close()
    parent.stdin.close()


def test_a_database_of_version_1_0_0_is_upgraded_with_its_rows(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD))
    tenant, network = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    own = "33333333-3333-4333-8333-333333333333"
    rows = [
        ("Cluster", {"generation": 41, "asn": 65001}),
        ("Pool", {"name": "port-key", "kind": "key", "first": "1", "last": "100"}),
        ("Hypervisor", {"name": "h1", "vtep": "192.0.2.1", "router_id": "192.0.2.1", "external": True}),
        ("Egress_Class", {"name": "storage", "id": 2, "prefixes": "198.51.100.0/24", "version": 3}),
    ]
    operations = [{"op": "insert", "table": table, "row": row} for table, row in rows]
    operations += [
        {"op": "insert", "table": "Tenant", "uuid": tenant, "row": {"name": "acme", "key": 7}},
        {
            "op": "insert",
            "table": "Network",
            "uuid": network,
            "row": {
                "name": "prod",
                "tenant": ["uuid", tenant],
                "key": 8,
                "vni": 9,
                "subnets": "10.0.0.0/24",
                "mtu": 1450,
            },
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid": own,
            "row": {
                "name": "a",
                "tenant": ["uuid", tenant],
                "network": ["uuid", network],
                "key": 10,
                "mac": "02:00:00:00:00:01",
                "addresses": "10.0.0.2",
                "hosts": "h1",
            },
        },
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]

    server = Server(directory / "db")
    server.start()
    try:
        contents = Store(server.remote).read_all()
    finally:
        server.stop()
    assert contents.cluster is not None
    assert (contents.cluster.generation, contents.cluster.asn) == (41, 65001)
    kept = contents.ports["acme", "a"].value
    assert (kept.uid, kept.key, kept.network, str(kept.addresses[0])) == (own, 10, 8, "10.0.0.2")
    host = contents.hypervisors["h1"].value  # type: ignore[index]
    assert (host.external, host.frozen, host.confirm) == (True, False, "")
    assert (contents.classes["storage"].version, contents.classes["storage"].effective) == (3, None)
    assert tool("db-version", str(file)) == VERSION
    assert tool("db-version", str(file) + ".1.0.0") == "1.0.0"


def test_a_database_of_version_1_1_0_is_upgraded_and_its_tenants_get_an_l3vni(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.1.0.ovsschema")))
    tenant = "11111111-1111-4111-8111-111111111111"
    network = {"name": "prod", "tenant": ["uuid", tenant], "key": 8, "subnets": "10.0.0.0/24", "mtu": 1450}
    keys = ("network-key", "port-key", "tenant-key")
    pools = [{"name": n, "kind": "key", "first": "1", "last": "99"} for n in keys]
    rows = [
        ("Cluster", {"generation": 41, "asn": 65001}),
        ("Tenant", {"name": "umbra", "key": 6}),
        ("Pool", {"name": "vni", "kind": "vni", "first": "10000", "last": "10009"}),
        *(("Pool", pool) for pool in pools),
    ]
    operations = [{"op": "insert", "table": table, "row": row} for table, row in rows]
    operations += [
        {"op": "insert", "table": "Tenant", "uuid": tenant, "row": {"name": "acme", "key": 7}},
        {"op": "insert", "table": "Network", "row": network | {"vni": 10000}},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents()
        assert [before.tenants[n].value.l3vni for n in ("acme", "umbra")] == [0, 0]
        assert before.networks["acme", "prod"].value.routed
        apply(store, WantedTenant("acme"), WantedNetwork("acme", "prod", routed=False))
        after = store.contents()
        assert [after.tenants[n].value.l3vni for n in ("acme", "umbra")] == [10001, 0]
        assert not after.networks["acme", "prod"].value.routed
        apply(store, WantedNetwork("acme", "prod", routed=True), WantedTenant("umbra", l3vni=Vni(77)))
        assert store.contents().networks["acme", "prod"].value.routed
        assert store.contents() == replace(store.read_all(), taken=store.contents().taken)
        assert store.contents().tenants["umbra"].value.l3vni == 77
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION


def test_a_database_of_version_1_2_0_is_upgraded_and_takes_the_new_fields(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.2.0.ovsschema")))
    tenant, network = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    parents = {"tenant": ["uuid", tenant], "network": ["uuid", network]}
    port = {"name": "a", "key": 10, "mac": "02:00:00:00:00:01", "addresses": "10.0.0.2", "hosts": "h1"}
    home = {"name": "prod", "tenant": ["uuid", tenant], "key": 8, "vni": 9, "subnets": "10.0.0.0/24"}
    host = {"name": "h1", "vtep": "192.0.2.1", "router_id": "192.0.2.1"}
    vnis = {"name": "vni", "kind": "vni", "first": "16777213", "last": "16777215"}
    keys = ("network-key", "port-key", "tenant-key")
    pools = [{"name": n, "kind": "key", "first": "1", "last": "99"} for n in keys]
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        *({"op": "insert", "table": "Pool", "row": row} for row in (vnis, *pools)),
        {"op": "insert", "table": "Hypervisor", "uuid": row_uid("Hypervisor", "h1"), "row": host},
        {"op": "insert", "table": "Tenant", "uuid": tenant, "row": {"name": "acme", "key": 7, "l3vni": 70}},
        {"op": "insert", "table": "Network", "uuid": network, "row": home | {"mtu": 1450}},
        {"op": "insert", "table": "Port", "row": port | parents},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents()
        old = before.ports["acme", "a"].value
        assert (old.allowed, old.rate_out, old.rate_in, old.enabled) == ((), 0, 0, True)
        assert before.networks["acme", "prod"].value.dscp is None
        h1 = before.hypervisors[HostName("h1")].value
        assert (h1.border, h1.gateway) == (False, False)
        pair = Pair(ip_network("10.0.0.9/32"), parse_mac("00:00:5e:00:01:0a"))
        apply(
            store,
            WantedNetwork("acme", "prod", dscp=46),
            WantedPort("acme", "a", "prod", allowed=(pair,), rate_out=1000, rate_in=2000, enabled=False),
            WantedHypervisor(HostName("h1"), ip_address("192.0.2.1"), gateway=True),
            WantedTenant("b"),
            WantedNetwork("b", "n"),
        )
        after = store.contents()
        new = after.ports["acme", "a"].value
        assert (new.allowed, new.rate_out, new.rate_in, new.enabled) == ((pair,), 1000, 2000, False)
        assert after.networks["acme", "prod"].value.dscp == 46
        assert after.hypervisors[HostName("h1")].value.gateway
        # 16777214 is the probes', also in a pool of before it was.
        assert [after.tenants["b"].value.l3vni, after.networks["b", "n"].value.vni] in (
            [16777213, 16777215],
            [16777215, 16777213],
        )
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION


def test_a_database_of_version_1_3_0_is_upgraded_and_has_the_usual_policy(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.3.0.ovsschema")))
    row = {"generation": 41, "asn": 65001}
    operation = {"op": "insert", "table": "Cluster", "row": row}
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", operation])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        found = store.contents().cluster
        assert found is not None and (found.generation, found.policy) == (41, Policy())
        strict = Policy(Guard.COUNT, tenant_routes=9)
        assert store.ensure_cluster(65001, (), policy=strict).policy == strict
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION


def test_a_database_of_version_1_3_0_is_upgraded_and_takes_route_targets(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.3.0.ovsschema")))
    tenant = "11111111-1111-4111-8111-111111111111"
    home = {"name": "prod", "tenant": ["uuid", tenant], "key": 8, "vni": 9, "subnets": "10.0.0.0/24"}
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {"op": "insert", "table": "Tenant", "uuid": tenant, "row": {"name": "acme", "key": 7, "l3vni": 70}},
        {"op": "insert", "table": "Network", "row": home | {"mtu": 1450}},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents()
        assert before.tenants["acme"].value.rules == before.networks["acme", "prod"].value.rules == PLAIN
        targets, hung = (DERIVED, parse_target("192.0.2.1:7")), (parse_any("65001:9"), parse_any("1:2:3"))
        apply(
            store,
            WantedTenant("acme", import_targets=targets),
            WantedNetwork("acme", "prod", import_targets=targets, export_targets=targets, communities=hung),
        )
        after = store.contents()
        assert after.tenants["acme"].value.rules == Rules(targets)
        rules = after.networks["acme", "prod"].value.rules
        assert rules == Rules(targets, targets, hung[:1], hung[1:])
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION


def test_a_database_of_version_1_4_0_is_upgraded_and_takes_segments_distinguishers_quotas_and_sticky_ports(
    directory: Path,
) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.4.0.ovsschema")))
    tenant, name = "11111111-1111-4111-8111-111111111111", HostName("leaf")
    home = {"name": "prod", "tenant": ["uuid", tenant], "key": 8, "vni": 9, "subnets": "10.0.0.0/24"}
    leaf = {"name": name, "vtep": "192.0.2.9", "router_id": "192.0.2.9", "external": True}
    network = "22222222-2222-4222-8222-222222222222"
    port = {"name": "a", "key": 10, "mac": "02:00:00:00:00:01", "addresses": "10.0.0.2"}
    parents = {"tenant": ["uuid", tenant], "network": ["uuid", network]}
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {"op": "insert", "table": "Tenant", "uuid": tenant, "row": {"name": "acme", "key": 7, "l3vni": 70}},
        {"op": "insert", "table": "Network", "uuid": network, "row": home | {"mtu": 1450}},
        {"op": "insert", "table": "Port", "row": port | parents},
        {"op": "insert", "table": "Hypervisor", "uuid": row_uid("Hypervisor", name), "row": leaf},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents()
        assert before.hypervisors[name].value.segments == ()
        assert before.tenants["acme"].value.distinguisher == 0
        assert before.tenants["acme"].quota == Quota()
        assert before.networks["acme", "prod"].value.distinguisher == 0
        segments = (parse_segment("00:11:22:33:44:55:66:77:88:99"),)
        apply(
            store,
            WantedHypervisor(name, ip_address("192.0.2.9"), external=True, segments=segments),
            WantedTenant("acme", distinguisher=70, quota=Quota(interfaces=0)),
            WantedNetwork("acme", "prod", distinguisher=80),
            WantedPort("acme", "a", "prod", sticky=True),
        )
        after = store.contents()
        assert after.hypervisors[name].value.segments == segments
        assert after.tenants["acme"].value.distinguisher == 70
        assert after.tenants["acme"].quota == Quota(None, 0)
        assert after.networks["acme", "prod"].value.distinguisher == 80
        assert after.ports["acme", "a"].value.sticky and not before.ports["acme", "a"].value.sticky
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION


def newer(directory: Path) -> Path:
    schema = intent_schema() | {"version": "9.0.0"}
    (directory / "newer.ovsschema").write_text(json.dumps(schema))
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(directory / "newer.ovsschema"))
    return file


def test_a_newer_database_is_refused_and_left_alone(directory: Path) -> None:
    file = newer(directory)
    before = file.read_bytes()
    server = Server(directory / "db")
    with pytest.raises(Invalid) as caught:
        server.start()
    assert caught.value.faults[0].rule == "store-newer"
    assert "9.0.0" in caught.value.faults[0].message
    assert server.pid == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(("version", "error"), [("9.0.0", Invalid), ("1.0.0", Unavailable)])
def test_clients_refuse_a_server_of_another_version(
    directory: Path, version: str, error: type[RingfenceError]
) -> None:
    with serving(directory, intent_schema() | {"version": version}) as remote:

        def refused() -> bool:
            try:
                Connection(remote).call("list_dbs", [], timeout=1)
            except error as caught:
                return version in str(caught)
            except RingfenceError:  # a server on a busy machine took too long
                pass
            return False

        poll(refused)


def test_another_database_in_its_place_is_refused(directory: Path) -> None:
    schema = intent_schema() | {"name": "Other"}
    (directory / "other.ovsschema").write_text(json.dumps(schema))
    (directory / "db").mkdir()
    tool("create", str(directory / "db" / "ringfence.db"), str(directory / "other.ovsschema"))
    with pytest.raises(Invalid) as caught:
        Server(directory / "db").start()
    assert caught.value.faults[0].rule == "store-other"


def test_a_socket_path_that_is_too_long_is_said(directory: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Server(directory / ("x" * 120)).start()
    assert caught.value.faults[0].rule == "path-too-long"


def test_every_natural_key_has_a_unique_index() -> None:
    tables = intent_schema()["tables"]
    expected = {
        "Tenant": [["name"], ["key"]],
        "Network": [["tenant", "name"], ["key"], ["vni"]],
        "Port": [["tenant", "name"], ["key"], ["mac"]],
        "Address": [["network", "address"]],
        "Egress_Class": [["name"], ["id"]],
        "Hypervisor": [["name"], ["vtep"], ["router_id"]],
        "Binding": [["port"]],
        "Seed": [["port"]],
        "Pool": [["name"]],
        "Request": [["key"]],
        "Tombstone": [["scope", "value"]],
        "Vni_Claim": [["vni"]],
        "Peering": [["tenant", "name"], ["tenant", "peer"]],
        "Peering_Link": [["first", "second"], ["key"], ["l3vni"]],
        "External": [["name"], ["key"], ["l3vni"]],
        "Floating_Ip": [["tenant", "name"], ["external", "address"]],
        "Route": [["tenant", "name"], ["tenant", "prefix"]],
        "Sku": [["name"]],
        "Fabric": [["name"]],
        "Node": [["name"], ["key"], ["host"]],
        "Gang": [["generation"]],
        "Gang_Node": [["generation", "node"]],
        "Lease": [["pair"]],
        "Policy": [["tenant", "name"]],
    }
    assert {name: table["indexes"] for name, table in tables.items() if "indexes" in table} == expected
    assert columns("Request") == ("key", "digest", "result", "created")
    assert parse_version("1.10.0") > parse_version("1.9.9")


def test_the_port_helper_names_hosts() -> None:
    assert port("a", "h1").hosts == ("h1",)
