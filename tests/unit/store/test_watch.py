"""The agents' watch: only what concerns the host, step by step, and all again after each reconnection."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from controller.store import watch as watching_store
from controller.store.records import Contents
from controller.store.server import Server
from controller.store.view import Batch, View
from controller.store.watch import Watch
from controller.store.writer import Store
from model.change import Part
from model.intent import Egress, Peering, Side
from model.wanted import (
    Kind,
    Reference,
    WantedExternal,
    WantedFloatingIp,
    WantedHypervisor,
    WantedNetwork,
    WantedPeering,
    WantedPort,
    WantedRoute,
    WantedTenant,
)
from tests.unit.store.house import (
    HOSTS,
    OLD,
    Collector,
    apply,
    base,
    delete,
    poll,
    port,
    ref,
    serving,
    uid_of,
    watching,
)

FAR = ip_network("198.51.100.0/24")


def expected(store: Store, tenant: str = "acme") -> dict:
    contents = store.read_all()
    ports = {r.value.key: r.value for (t, _), r in contents.ports.items() if t == tenant}
    return {
        (Part.CLUSTER, None): contents.cluster,
        **{(Part.HYPERVISOR, n): r.value for n, r in contents.hypervisors.items()},
        **{(Part.CLASS, r.value.id): r.value for r in contents.classes.values()},
        **{(Part.TENANT, r.value.key): r.value for n, r in contents.tenants.items() if n == tenant},
        **{(Part.NETWORK, r.value.key): r.value for (t, _), r in contents.networks.items() if t == tenant},
        **{(Part.STATIC_ROUTE, r.value.uid): r.value for (t, _), r in contents.routes.items() if t == tenant},
        **{(Part.PORT, key): value for key, value in ports.items()},
        **{(Part.BINDING, key): value for key, value in contents.bindings.items() if key in ports},
    }


def followed(store: Store) -> Contents:
    """What the store has, as soon as the cache, which follows bindings by itself, has it too."""
    poll(lambda: (read := store.read_all()) == replace(store.contents(), taken=read.taken))
    return store.read_all()


def test_a_host_sees_all_ports_of_its_networks_and_no_other_tenant(server: Server, store: Store) -> None:
    apply(store, *base(), port("a", "h1"), port("b", "h2"), port("x", "h2", tenant="umbra"))
    store.bind(uid_of(store, "b"), HOSTS[1])
    store.bind(uid_of(store, "x", "umbra"), HOSTS[1])
    with watching(server.remote, "h1") as seen:
        assert seen.batches[0].complete
        assert seen.values == expected(store)
        assert not seen.batches[0].deletes
    with watching(server.remote, "h2") as seen:
        assert seen.names(Part.TENANT) == {"acme", "umbra"}
        assert len(seen.part(Part.BINDING)) == 2
    with watching(server.remote, "h3") as seen:
        assert set(seen.part(Part.HYPERVISOR)) == set(HOSTS)
        assert not seen.part(Part.PORT) and not seen.part(Part.TENANT) and not seen.part(Part.NETWORK)


def test_a_host_sees_networks_of_its_tenants_that_it_has_no_port_in(server: Server, store: Store) -> None:
    """It routes to them: their addresses, and where each lives, must be known (RFC 9135 section 5)."""
    other = WantedNetwork("acme", "far", (ip_network("10.1.0.0/24"),))
    apply(store, *base(), other, port("a", "h1"), WantedPort("acme", "b", "far", hosts=HOSTS[1:2]))
    store.bind(uid_of(store, "b"), HOSTS[1])
    with watching(server.remote, "h1") as seen:
        assert seen.batches[0].complete
        assert seen.values == expected(store)
        assert seen.names(Part.NETWORK) == {"prod", "far"}
        assert len(seen.part(Part.BINDING)) == 1
        apply(
            store,
            WantedNetwork("acme", "later", (ip_network("10.2.0.0/24"),), routed=False),
            WantedPort("acme", "c", "later", hosts=HOSTS[1:2]),
        )
        store.bind(uid_of(store, "c"), HOSTS[1])
        seen.wait(lambda: len(seen.part(Part.BINDING)) == 2)
        assert seen.values == expected(store)
        apply(store, port("a", "h2"))
        seen.wait(lambda: not seen.part(Part.TENANT) and not seen.part(Part.NETWORK))
        seen.wait(lambda: not seen.part(Part.PORT) and not seen.part(Part.BINDING))


def test_a_host_sees_the_routes_of_its_tenants_and_of_no_other(server: Server, store: Store) -> None:
    apply(store, *base(), port("a", "h1"), port("x", "h2", tenant="umbra"), route("r", "172.16.0.0/16"))
    apply(store, route("u", "172.17.0.0/16", "umbra"))
    with watching(server.remote, "h1") as seen:
        assert seen.values == expected(store)
        assert seen.names(Part.STATIC_ROUTE) == {"r"}
        apply(store, route("late", "172.18.0.0/16"))
        seen.wait(lambda: seen.names(Part.STATIC_ROUTE) == {"r", "late"})
        delete(store, Reference(Kind.ROUTE, "r", "acme"))
        seen.wait(lambda: seen.names(Part.STATIC_ROUTE) == {"late"})
        assert seen.values == expected(store)
    followed(store)


def test_a_host_sees_who_speaks_in_the_external_networks_that_it_speaks_in(
    server: Server, store: Store
) -> None:
    """Its own floating IPs, those of others with where they live, and tenants with an address there."""
    nets = (WantedExternal("net", (ip_network("203.0.113.0/24"),)), WantedExternal("far", (FAR,)))
    floating = [
        WantedFloatingIp("acme", "f", "net", port="a"),
        WantedFloatingIp("umbra", "f", "net", port="x"),
        WantedFloatingIp("umbra", "idle", "net"),
        WantedFloatingIp("umbra", "far", "far"),
    ]
    gateway = WantedHypervisor(HOSTS[6], ip_address("192.0.2.7"), gateway=True)
    snat = WantedTenant("third", egress=Egress.SNAT, external="net")
    apply(
        store,
        *(w for w in base() if w.name != "h7"),
        gateway,
        port("a", "h1"),
        port("x", "h2", tenant="umbra"),
        *nets,
        *floating,
        snat,
    )
    store.bind(uid_of(store, "x", "umbra"), HOSTS[1])
    contents = followed(store)
    with watching(server.remote, "h1") as seen:
        assert seen.names(Part.EXTERNAL) == {"net", "far"}
        assert seen.names(Part.TENANT) == {"acme", "third"}
        assert {(f.tenant, f.name) for f in seen.part(Part.FLOATING).values()} == {
            (contents.tenants[t].value.key, n) for t, n in (("acme", "f"), ("umbra", "f"), ("umbra", "idle"))
        }
        x = contents.ports["umbra", "x"].value.key
        assert seen.part(Part.BINDING) == {x: contents.bindings[x]}
        assert seen.names(Part.PORT) == {"a"} and seen.names(Part.NETWORK) == {"prod"}
        apply(store, WantedFloatingIp("acme", "f", "net", port=""))
        seen.wait(lambda: seen.names(Part.TENANT) == {"acme"} and not seen.part(Part.BINDING))
        assert {f.name for f in seen.part(Part.FLOATING).values()} == {"f"}
    with watching(server.remote, "h7") as seen:  # the gateway: all of its tenant, and who else is there
        assert seen.names(Part.TENANT) == {"third"} and len(seen.part(Part.FLOATING)) == 3
        assert set(seen.part(Part.BINDING)) == {x}
        apply(store, WantedNetwork("third", "n", (ip_network("10.0.0.0/24"),)), WantedPort("third", "p", "n"))
        seen.wait(lambda: seen.names(Part.PORT) == {"p"} and seen.names(Part.NETWORK) == {"n"})
    with watching(server.remote, "h3") as seen:
        assert not [p for p in (Part.TENANT, Part.FLOATING, Part.BINDING, Part.PORT) if seen.part(p)]


def test_a_peering_is_seen_while_both_halves_are_there(server: Server, store: Store) -> None:
    """With the networks of the peer, and ports and bindings in those that it shares, and no others."""
    shared = WantedNetwork("umbra", "shared", (ip_network("10.5.0.0/24"),))
    other = WantedNetwork("acme", "own", (ip_network("10.6.0.0/24"),))
    ours = WantedPeering("acme", "to-umbra", "umbra", (ip_network("10.6.0.0/24"),))
    theirs = WantedPeering("umbra", "to-acme", "acme", (ip_network("10.5.0.0/25"),))
    far = WantedPort("umbra", "s", "shared", hosts=HOSTS[1:2])
    apply(store, *base(), shared, other, far, port("a", "h1"), port("x", "h2", tenant="umbra"), ours)
    store.bind(uid_of(store, "s", "umbra"), HOSTS[1])
    with watching(server.remote, "h1") as seen, watching(server.remote, "h3") as stranger:
        assert not seen.part(Part.PEERING) and seen.names(Part.TENANT) == {"acme"}
        apply(store, theirs)
        seen.wait(lambda: seen.names(Part.PORT) == {"a", "s"} and len(seen.part(Part.BINDING)) == 1)
        contents = followed(store)
        (link,) = contents.links.values()
        acme, umbra = (contents.tenants[t].value.key for t in ("acme", "umbra"))
        sides = (Side(acme, ours.prefixes), Side(umbra, theirs.prefixes))
        made = Peering(link.value.key, link.value.l3vni, sides if acme < umbra else sides[::-1])
        assert seen.part(Part.PEERING) == {made.key: made}
        assert seen.names(Part.TENANT) == {"acme", "umbra"}
        assert seen.names(Part.NETWORK) == {"prod", "own", "shared"}
        delete(store, Reference(Kind.PEERING, "to-umbra", "acme"))
        seen.wait(lambda: not seen.part(Part.PEERING))
        seen.wait(lambda: seen.names(Part.TENANT) == {"acme"} and seen.names(Part.PORT) == {"a"})
        apply(store, ours)
        seen.wait(lambda: seen.part(Part.PEERING) == {made.key: made})
        assert not stranger.part(Part.PEERING) and not stranger.part(Part.TENANT)


def route(name: str, prefix: str, tenant: str = "acme") -> WantedRoute:
    return WantedRoute(tenant, name, ip_network(prefix), (ip_address("10.0.0.2"),))


def test_changes_come_one_by_one_with_what_they_touch_only(server: Server, store: Store) -> None:
    apply(store, *base(), port("a", "h1"))
    with watching(server.remote, "h1") as seen:
        before = len(seen.batches)
        apply(store, port("b", "h2"))
        seen.wait(lambda: "b" in seen.names(Part.PORT))
        parts = {
            (part, getattr(value, "name", "")) for b in seen.batches[before:] for part, _, value in b.upserts
        }
        assert parts == {(Part.CLUSTER, ""), (Part.PORT, "b")}

        binding = store.bind(uid_of(store, "b"), HOSTS[1])
        seen.wait(lambda: seen.part(Part.BINDING) == {binding.port: binding})
        delete(store, ref("b"))
        seen.wait(lambda: seen.names(Part.PORT) == {"a"} and not seen.part(Part.BINDING))
        assert seen.values == expected(store)
        assert [b.complete for b in seen.batches].count(True) == 1


def test_a_network_that_becomes_local_brings_its_ports_and_goes_with_its_last_one(
    server: Server, store: Store
) -> None:
    apply(store, *base(), port("a", "h1"), port("x", "h2", tenant="umbra"))
    store.bind(uid_of(store, "x", "umbra"), HOSTS[1])
    with watching(server.remote, "h1") as seen:
        assert seen.names(Part.TENANT) == {"acme"}
        apply(store, port("y", "h1", tenant="umbra"))
        seen.wait(lambda: {"x", "y"} <= seen.names(Part.PORT) and len(seen.part(Part.BINDING)) == 1)
        assert seen.names(Part.TENANT) == {"acme", "umbra"}
        apply(store, port("y", "h2", tenant="umbra"))
        seen.wait(lambda: seen.names(Part.PORT) == {"a"} and seen.names(Part.TENANT) == {"acme"})
        seen.wait(lambda: seen.values == expected(store))


def test_the_first_port_of_a_host_that_was_watching_before(server: Server, store: Store) -> None:
    apply(store, *base())
    with watching(server.remote, "h1") as seen:
        apply(store, port("a", "h1"))
        seen.wait(lambda: seen.names(Part.PORT) == {"a"})
        assert seen.values == expected(store)


def test_after_kill_and_restart_everything_comes_again_with_what_happened_meanwhile(
    server: Server, store: Store
) -> None:
    apply(store, *base(), port("a", "h1"), port("gone", "h1"))
    with watching(server.remote, "h1") as seen:
        killed = server.pid
        os.kill(killed, signal.SIGKILL)
        poll(lambda: server.pid == 0)
        server.start()
        delete(store, ref("gone"))
        apply(store, port("new", "h2"))
        seen.wait(
            lambda: [b.complete for b in seen.batches].count(True) == 2 and seen.values == expected(store)
        )
        assert seen.names(Part.PORT) == {"a", "new"}


def test_the_watch_may_start_before_the_store(directory: Path) -> None:
    server, seen = Server(directory / "db"), Collector()
    watch = Watch(server.remote, HOSTS[0], seen)
    watch.start()
    server.start()
    try:
        seen.wait(lambda: bool(seen.batches))
        assert seen.batches[0].complete
        assert seen.values == {}
        store = Store(server.remote)
        made = store.ensure_cluster(65000, ())
        seen.wait(lambda: seen.values == {(Part.CLUSTER, None): made})
        store.close()
    finally:
        watch.stop()
        server.stop()


def test_an_empty_store_in_its_place_is_told_as_it_is(server: Server, store: Store, directory: Path) -> None:
    apply(store, *base(), port("a", "h1"))
    with watching(server.remote, "h1") as seen:
        old = seen.values[Part.CLUSTER, None]
        server.stop()
        shutil.rmtree(directory / "db")
        server.start()
        other = Store(server.remote)
        made = other.ensure_cluster(65000, ())
        other.close()
        seen.wait(lambda: seen.values == {(Part.CLUSTER, None): made})
        assert made.uid != old.uid
        last = next(b for b in reversed(seen.batches) if b.complete)
        assert last is not seen.batches[0]
        assert not [v for part, _, v in last.upserts if part is Part.PORT]
        # The API's cache follows the new store too, though its generation is lower.
        assert made.generation < old.generation
        poll(lambda: not store.contents().ports)


def test_a_row_that_does_not_parse_hides_itself_only(server: Server, store: Store) -> None:
    from controller.store.wire import Connection

    apply(store, *base(), port("a", "h1"), port("b", "h1"))
    connection = Connection(server.remote)
    broken = {"op": "update", "table": "Port", "where": [["name", "==", "b"]], "row": {"mac": "no mac"}}
    connection.commit("Ringfence", [broken])
    connection.close()
    with watching(server.remote, "h1") as seen:
        assert seen.names(Part.PORT) == {"a"}
        assert {name for _, name in store.read_all().ports} == {"a"}
        apply(store, WantedTenant("more"))  # and work goes on
        seen.wait(lambda: seen.values[Part.CLUSTER, None].generation == store.generation())


def test_a_store_that_is_older_than_the_agent_is_named(directory: Path, caplog) -> None:
    seen = Collector()
    with serving(directory, json.loads(OLD.read_text())) as remote:
        watch = Watch(remote, HOSTS[0], seen)
        watch.start()
        try:
            poll(lambda: "store is older than this agent found=1.0.0" in caplog.text)
        finally:
            watch.stop()
    assert not seen.batches
    assert not watch.connected


def test_stopping_ends_its_thread_and_no_event_follows(server: Server, store: Store) -> None:
    import threading

    apply(store, *base(), port("a", "h1"))
    with watching(server.remote, "h1") as seen:
        pass
    assert not [t for t in threading.enumerate() if t.name == "store-watch"]
    number = len(seen.batches)
    apply(store, WantedPort("acme", "b", "prod"))
    assert len(seen.batches) == number
    delete(store, Reference(Kind.PORT, "b", "acme"))


def test_a_defect_costs_a_session_and_no_more(server: Server, store: Store, monkeypatch) -> None:
    """The server still has the monitor of the session that ended: the next one must not ask on the same
    line."""
    apply(store, *base(), port("a", "h1"))
    monkeypatch.setattr(watching_store, "_FIRST_PAUSE", (0.0, 0.01))
    with watching(server.remote, "h1") as seen:
        broken = [KeyError("a defect")]
        settle = View.settle

        def once(view: View) -> Batch:
            if broken:
                raise broken.pop()
            return settle(view)

        monkeypatch.setattr(View, "settle", once)
        apply(store, port("b", "h1"))
        seen.wait(lambda: not broken and seen.names(Part.PORT) == {"a", "b"})
        assert seen.batches[-1].complete
