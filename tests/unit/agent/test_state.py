"""The agent's pure steps: level-triggered sync, equality is no change, disk round trip, and the brake."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from controller.agent import brake, disk, state
from controller.agent.scribe import Scribe, snapshots
from controller.agent.shelf import Shelf
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Hypervisor, Network, Port, Tenant
from model.inventory import Interface, Switch
from model.route import RemoteMac
from model.snapshot import Snapshot, with_port, with_ports

HOST = HostName("hv1")


def port(n: int) -> Port:
    return Port(
        Uid(f"uid-{n}"),
        NetworkKey(1),
        f"p{n}",
        PortKey(n),
        Mac(0x020000000000 + n),
        (ip_address(f"10.0.{n >> 8}.{n & 255}"), ip_address(f"fd00::{n:x}")),
        (HOST,),
    )


def items(ports: int) -> list[state.Item]:
    out: list[state.Item] = [
        (Part.CLUSTER, None, Cluster(Uid("c1"), 5, 65000, (ip_address("192.0.2.1"),))),
        (Part.TENANT, TenantKey(1), Tenant(Uid("t1"), "acme", TenantKey(1))),
        (
            Part.NETWORK,
            NetworkKey(1),
            Network(Uid("n1"), TenantKey(1), "net", NetworkKey(1), Vni(5001), (ip_network("10.0.0.0/24"),)),
        ),
        (Part.HYPERVISOR, HOST, Hypervisor(HOST, ip_address("192.0.2.11"), 3221225995)),
    ]
    for n in range(1, ports + 1):
        out.append((Part.PORT, PortKey(n), port(n)))
        out.append((Part.BINDING, PortKey(n), Binding(PortKey(n), HOST, 0, True)))
    return out


def filled(ports: int) -> Snapshot:
    return state.replace_stored(Snapshot(HOST), items(ports)).snapshot


def test_upsert_of_the_same_value_is_no_change() -> None:
    snapshot = filled(3)
    step = state.upsert(snapshot, items(3))
    assert step.changes == frozenset()
    assert step.snapshot is snapshot


def test_replace_stored_removes_what_is_not_listed_and_keeps_what_is_not_stored() -> None:
    remote = RemoteMac(NetworkKey(1), Mac(7), ip_address("192.0.2.12"), ())
    before = state.upsert(filled(3), [(Part.REMOTE, (NetworkKey(1), Mac(7)), remote)]).snapshot
    step = state.replace_stored(before, items(2))
    assert step.changes == {Change(Part.PORT, PortKey(3)), Change(Part.BINDING, PortKey(3))}
    assert step.snapshot.remotes == before.remotes
    assert set(step.snapshot.by_network[NetworkKey(1)]) == {PortKey(1), PortKey(2)}
    assert Uid("uid-3") not in step.snapshot.by_uid


def test_interfaces_are_level_triggered() -> None:
    one = {Uid("uid-1"): Interface("tap1", Uid("uid-1"), 11)}
    up = state.observe_interfaces(filled(1), one)
    assert up.changes == {Change(Part.INTERFACE, Uid("uid-1"))}
    down = state.observe_interfaces(up.snapshot, {})
    assert down.changes == up.changes
    assert not down.snapshot.interfaces


def test_a_snapshot_survives_the_disk(tmp_path) -> None:
    snapshot = state.observe_interfaces(
        filled(3), {Uid("uid-1"): Interface("tap1", Uid("uid-1"), 11)}
    ).snapshot
    remote = RemoteMac(NetworkKey(1), Mac(7), ip_address("fd00::12"), (ip_address("10.0.0.9"),), 4)
    snapshot = state.upsert(snapshot, [(Part.REMOTE, (NetworkKey(1), Mac(7)), remote)]).snapshot
    snapshot = replace(snapshot, epochs=snapshot.epochs.set(PortKey(1), 9))
    disk.save(snapshot, tmp_path / "s.json")
    assert disk.load(tmp_path / "s.json") == snapshot


def test_a_second_save_writes_what_a_first_one_would(tmp_path) -> None:
    shelf, once = Shelf(tmp_path / "kept.json"), tmp_path / "once.json"
    first = filled(5)
    gone = state.remove(first, [(Part.PORT, key) for key in sorted(first.ports)[:2]]).snapshot
    renamed = replace(gone.ports[max(gone.ports)], name="renamed")
    last = state.upsert(gone, [(Part.PORT, renamed.key, renamed)]).snapshot
    for snapshot in (first, gone, last):
        shelf.save(snapshot)
        disk.save(snapshot, once)
        assert (tmp_path / "kept.json").read_bytes() == once.read_bytes()
        assert disk.load(once) == snapshot


def test_a_file_cut_short_at_any_byte_counts_as_absent(tmp_path) -> None:
    path = tmp_path / "s.json"
    disk.save(filled(1), path)
    whole = path.read_bytes()
    assert disk.load(path) is not None
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert disk.load(path) is None


def test_the_switch_is_observed_not_remembered(tmp_path) -> None:
    snapshot = state.observe_switch(filled(1), Switch("netdev", 1, "run-1")).snapshot
    disk.save(snapshot, tmp_path / "s.json")
    loaded = disk.load(tmp_path / "s.json")
    assert loaded is not None and loaded.switch is None


def cluster(snapshot: Snapshot, **edits: object) -> Snapshot:
    assert snapshot.cluster is not None
    return replace(snapshot, cluster=replace(snapshot.cluster, **edits))


@pytest.mark.parametrize(
    ("candidate", "rule"),
    [
        (replace(filled(3), cluster=None), "store-empty"),
        (cluster(filled(3), uid=Uid("c2")), "other-cluster"),
        (cluster(filled(3), generation=4), "older-generation"),
    ],
)
def test_brake_on_a_store_that_is_not_ours(candidate: Snapshot, rule: str) -> None:
    stop = brake.judge(filled(3), candidate, frozenset())
    assert stop is not None and stop.rule == rule


def plugged(snapshot: Snapshot, but: int = 0) -> Snapshot:
    """With an interface for each port, but for the last ones."""
    keys = sorted(snapshot.ports)[: len(snapshot.ports) - but]
    found = {snapshot.ports[k].uid: Interface(f"tap{k}", snapshot.ports[k].uid, int(k)) for k in keys}
    return state.observe_interfaces(snapshot, found).snapshot


def deleted(total: int, gone: int, unplugged: int = 0) -> brake.Stop | None:
    before = plugged(filled(total), unplugged)
    step = state.replace_stored(before, items(total - gone))
    return brake.judge(before, step.snapshot, step.changes)


def test_brake_on_a_mass_delete_but_not_on_a_small_one() -> None:
    assert deleted(100, brake.FLOOR) is None
    stop = deleted(100, brake.FLOOR + 1)
    assert stop is not None and stop.rule == "mass-delete" and "9 of 100" in stop.message
    assert deleted(400, 20) is None
    assert deleted(400, 21) is not None


def test_ports_whose_interfaces_went_first_have_nothing_to_lose() -> None:
    assert deleted(100, 60, unplugged=60) is None
    assert deleted(100, 60, unplugged=60 - brake.FLOOR) is None
    assert deleted(100, 60, unplugged=59 - brake.FLOOR) is not None


def test_a_cold_host_has_nothing_to_lose() -> None:
    assert brake.judge(Snapshot(HOST), filled(3), frozenset()) is None


def test_many_ports_at_once_are_the_same_as_one_after_the_other() -> None:
    start = filled(3)
    moved = replace(start.ports[PortKey(2)], uid=Uid("other"), network=NetworkKey(9))
    fresh = replace(moved, key=PortKey(77), uid=Uid("fresh"))
    one_by_one = start
    for each in (moved, fresh):
        one_by_one = with_port(one_by_one, each)
    assert with_ports(start, [moved, fresh]) == one_by_one
    assert with_ports(start, []) == start


def test_a_scribe_that_rests_first_writes_at_the_end_what_is_newest_then() -> None:
    written: list[int] = []
    scribe = Scribe(written.append, "a number", rest=3600.0)
    for number in range(3):
        scribe.save(number)
    scribe.stop()
    assert written == [2]


def test_the_scribe_writes_the_newest_and_what_waits_at_the_end(tmp_path) -> None:
    scribe = snapshots(tmp_path / "s.json")
    for count in range(1, 40):
        scribe.save(filled(count))
    scribe.stop()
    assert disk.load(tmp_path / "s.json") == filled(39)


def test_a_disk_that_takes_nothing_ends_no_thread(tmp_path, caplog) -> None:
    place = tmp_path / "late"
    scribe = snapshots(place / "s.json")
    scribe.save(filled(1))
    deadline = time.monotonic() + 30
    while "not saved: snapshot" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    place.mkdir()
    scribe.save(filled(2))
    scribe.stop()
    assert disk.load(place / "s.json") == filled(2)
