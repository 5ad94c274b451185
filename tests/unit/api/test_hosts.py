"""Status, wait, freeze, confirm and EVPN lists, from reports and bindings in a real store."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from controller.cli.client import Api, Refused
from controller.store import leases
from controller.store.wire import Connection
from controller.store.writer import clock
from model.ids import HostName, Uid
from model.report import (
    EgressReport,
    EvpnReport,
    PeerReport,
    PortReport,
    PortState,
    Report,
    State,
    render,
)
from tests.unit.api.house import House
from tests.unit.api.test_objects import apply, document


def tell(house: House, host: str, generation: int, **more: Any) -> None:
    """What an agent does: one report."""
    stamp = more.pop("stamp_ms", clock())
    made = Report(host, stamp, generation, more.pop("state", State.IN_SYNC), **more)
    house.store.put_report(HostName(host), render(made), stamp)


def tenant_on(house: House, tenant: str, octet: int, host: str) -> Uid:
    """A tenant with one port that is bound on `host`; the port's uid."""
    apply(
        house,
        document("Hypervisor", host, vtep=f"192.0.2.{octet}"),
        document("Tenant", tenant),
        document("Network", "net", tenant, subnets=["10.0.0.0/24"]),
        document("Port", "p", tenant, network="net", hosts=[host]),
    )
    uid = Uid(house.api.get("/v1/ports/p", {"tenant": tenant})["metadata"]["uid"])
    bound(house, tenant, uid, host)
    return uid


def bound(house: House, tenant: str, uid: Uid, host: str) -> None:
    """The tenant's port is bound on `host`, and the API knows it."""
    house.store.bind(uid, HostName(host))
    # The API's cache follows bindings by itself; it promises no order with other writers.
    deadline = time.monotonic() + 20
    while house.api.get("/v1/ports/p", {"tenant": tenant})["status"]["host"] != host:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def host_of(house: House, name: str) -> Any:
    return next(h for h in house.api.get("/v1/status")["hosts"] if h["name"] == name)


def alarms_of(house: House, name: str) -> list[str]:
    alarms = house.api.get("/v1/status")["alarms"]
    return [a["message"] for a in alarms if a["object"] == f"Hypervisor {name}"]


def test_a_bound_port_shows_its_host_and_what_the_host_says(house) -> None:
    uid = tenant_on(house, "where", 101, "w1")
    tell(house, "w1", 1, ports=(PortReport(uid, PortState.ACTIVE, "", 3),))
    status = house.api.get("/v1/ports/p", {"tenant": "where"})["status"]
    assert (status["host"], status["state"]) == ("w1", "active")
    # Another host's word about the same port counts for nothing.
    apply(house, document("Hypervisor", "w2", vtep="192.0.2.102"))
    tell(house, "w2", 1, ports=(PortReport(uid, PortState.ERROR, "lies", 3),))
    assert house.api.get("/v1/ports/p", {"tenant": "where"})["status"]["state"] == "active"


def test_only_hosts_with_bound_ports_of_what_was_touched_are_concerned(house) -> None:
    tenant_on(house, "conc-a", 103, "c1")
    tenant_on(house, "conc-b", 104, "c2")
    answer = apply(house, document("Network", "net", "conc-a", mtu=1400))
    assert answer["concerned"] == ["c1"]
    # Nothing is left to do: asking again waits for what was named.
    answer = apply(house, document("Network", "net", "conc-a", mtu=1400))
    assert not answer["changed"] and answer["concerned"] == ["c1"]
    answer = apply(house, document("Port", "q", "conc-b", network="net", hosts=["c1"]))
    assert answer["concerned"] == ["c2"]
    answer = apply(house, document("Tenant", "conc-c"))
    assert answer["concerned"] == []
    assert apply(house, document("Tenant", "conc-c"))["concerned"] == []
    answer = house.api.once("DELETE", "/v1/ports/p", {"tenant": "conc-a"})
    assert answer["concerned"] == ["c1"]


def test_a_network_without_an_mtu_gets_what_fits_below(house) -> None:
    apply(house, document("Hypervisor", "m1", vtep="192.0.2.99"), document("Tenant", "fits"))

    def mtu(name: str, **spec: Any) -> int:
        apply(house, document("Network", name, "fits", **spec))
        return house.api.get(f"/v1/networks/{name}", {"tenant": "fits"})["spec"]["mtu"]

    usual = mtu("usual")
    assert usual in (1450, 1430), "other tests declare hosts with IPv6, too"
    tell(house, "m1", 1, underlay=1400)
    assert host_of(house, "m1")["underlayMtu"] == 1400
    assert mtu("small") == usual - 100
    assert mtu("asked", mtu=1500) == 1500
    assert mtu("usual") == usual, "what there is stays as it is"
    house.api.once("DELETE", "/v1/hypervisors/m1", {})
    assert mtu("later") == usual


def test_wait_ends_when_the_host_acknowledges(house) -> None:
    tenant_on(house, "patience", 105, "p1")
    answer = apply(house, document("Network", "net", "patience", mtu=1300))
    generation = answer["generation"]
    tell(house, "p1", generation - 1)
    query = {"generation": generation, "host": answer["concerned"], "timeout": 0}
    state = house.api.get("/v1/wait", query)
    assert not state["reached"] and state["pending"][0]["host"] == "p1"
    assert f"{generation - 1} of {generation}" in state["pending"][0]["reason"]
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(Api(f"unix:{house.socket}").get("/v1/wait", query | {"timeout": 25}))
    )
    asking.start()
    tell(house, "p1", generation)
    asking.join(30)
    assert answers and answers[0]["reached"] and answers[0]["pending"] == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stamp_ms": 1}, "no heartbeat"),
        ({"state": State.FROZEN, "reason": "the store is empty"}, "frozen: the store is empty"),
        ({"evpn": EvpnReport(missing=2)}, "2 EVPN routes"),
    ],
)
def test_wait_names_the_host_that_can_not_and_says_why(house, more: dict[str, Any], words: str) -> None:
    apply(house, document("Hypervisor", "n1", vtep="192.0.2.106"))
    tell(house, "n1", 1 << 40, **more)
    state = house.api.get("/v1/wait", {"generation": 1, "host": ["n1", "never"], "timeout": 0})
    reasons = {p["host"]: p["reason"] for p in state["pending"]}
    assert words in reasons["n1"] and reasons["never"] == "has never reported"


def test_status_tells_state_age_peers_and_alarms(house) -> None:
    tenant_on(house, "stat", 107, "s1")
    assert host_of(house, "s1")["state"] == "silent"
    assert any("1 ports are bound" in m for m in alarms_of(house, "s1"))
    peers = (PeerReport("192.0.2.1", "established"), PeerReport("192.0.2.2", "idle"))
    tell(house, "s1", 7, flows=42, evpn=EvpnReport(peers=peers, refused=3))
    host = host_of(house, "s1")
    assert (host["state"], host["generation"], host["flows"]) == ("in-sync", 7, 42)
    assert host["heartbeatAgeMs"] < 60_000
    assert alarms_of(house, "s1") == ["BGP to 192.0.2.2 is idle", "3 EVPN routes are refused"]
    tell(house, "s1", 7, stamp_ms=clock() - 60_000)
    assert host_of(house, "s1")["state"] == "dead"
    tell(house, "s1", 7, state=State.FROZEN, reason="many ports would go")
    assert alarms_of(house, "s1") == ["frozen: many ports would go"]


def test_a_report_that_can_not_be_read_is_set_aside(house) -> None:
    apply(house, document("Hypervisor", "r1", vtep="192.0.2.108"))
    for text in ("{", "[]", '{"host": 5}', "[" * 100_000, '{"host":"r1","state":"in-sync","flows":-1}'):
        house.store.put_report(HostName("r1"), text, clock())
        host = host_of(house, "r1")
        assert host["state"] == "silent" and "can't be read" in host["reason"]
    liar = Report("somebody-else", clock(), 9, State.IN_SYNC)
    house.store.put_report(HostName("r1"), render(liar), clock())
    assert host_of(house, "r1")["generation"] == 9
    assert all(h["name"] != "somebody-else" for h in house.api.get("/v1/status")["hosts"])


def test_freeze_and_confirm_are_written_where_the_agent_looks(house) -> None:
    apply(house, document("Hypervisor", "f1", vtep="192.0.2.109"))

    def row() -> Any:
        return house.store.read_all().hypervisors[HostName("f1")].value

    assert not row().frozen
    house.api.post("/v1/freeze/f1")
    assert row().frozen
    # A manifest of the host does not end it.
    apply(house, document("Hypervisor", "f1", vtep="192.0.2.109", routerId="192.0.2.250"))
    assert row().frozen and row().router_id == 0xC00002FA
    house.api.post("/v1/unfreeze/f1")
    assert not row().frozen
    tell(house, "f1", 1, state=State.FROZEN, reason="mass delete", stop="delete-9-of-10")
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/confirm/f1", {"token": "delete-3-of-10"})
    assert caught.value.faults[0]["rule"] == "other-stop" and row().confirm == ""
    house.api.post("/v1/confirm/f1")
    assert row().confirm == "delete-9-of-10"
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/freeze/nobody")
    assert caught.value.status == 404


def test_what_evpn_reached_or_held_is_an_alarm(house) -> None:
    apply(house, document("Hypervisor", "ev1", vtep="192.0.2.119"))
    evpn = EvpnReport(damped=2, tolerated=3, full=("peer 192.0.2.1 has reached its limit of 7 routes",))
    tell(house, "ev1", 1, evpn=evpn)
    found = alarms_of(house, "ev1")
    assert any("2 MACs or addresses move too often" in one for one in found)
    assert any("3 EVPN routes are used that nobody declared" in one for one in found)
    assert "peer 192.0.2.1 has reached its limit of 7 routes" in found


def test_a_switchover_is_left_in_the_lease_of_the_pair(house, remote: str) -> None:
    def refused(name: str) -> str:
        with pytest.raises(Refused) as caught:
            house.api.post(f"/v1/switchover/{name}")
        return caught.value.faults[0]["rule"]

    apply(house, document("Hypervisor", "alone", vtep="203.0.113.201"))
    two = [("two-a", "203.0.113.202", "two-b"), ("two-b", "203.0.113.203", "two-a")]
    apply(house, *(document("Hypervisor", name, vtep=vtep, partner=other) for name, vtep, other in two))
    assert (refused("nobody"), refused("alone"), refused("two-a")) == (
        "not-found",
        "no-partner",
        "nobody-active",
    )
    connection, pair = Connection(remote), leases.pair_of(HostName("two-a"), HostName("two-b"))
    assert leases.take(connection, pair, None, leases.Lease(HostName("two-a"), 7, 1, 4))
    assert refused("two-a") == "already-active"
    answer = house.api.post("/v1/switchover/two-b")
    assert (answer["from"], answer["term"]) == ("two-a", 7)
    found = leases.read(connection, pair)
    connection.close()
    assert found is not None and found.wanted == "two-b"


def test_a_host_that_has_not_uploaded_for_long_is_an_alarm(house) -> None:
    apply(house, document("Hypervisor", "w77", vtep="192.0.2.177"))
    tell(house, "w77", 1, egress=EgressReport(backlog=3, oldest_ms=clock() - 14 * 60_000, size=9, free=4))
    told = host_of(house, "w77")["egress"]
    assert (told["backlog"], told["diskFree"], told["diskFullSeconds"]) == (3, 4, None)
    assert alarms_of(house, "w77") == []
    tell(house, "w77", 1, egress=EgressReport(backlog=3, oldest_ms=clock() - 16 * 60_000))
    assert alarms_of(house, "w77") == ["what it counted waits for the ledger since 16 minutes"]
    tell(house, "w77", 1)
    assert host_of(house, "w77")["egress"] is None
