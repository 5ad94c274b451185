"""The audit through real HTTP, a real store and the CLI: who says what, and taking back what nobody bears."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.api.app import create
from controller.api.listener import listen, server
from controller.api.service import Service
from controller.cli import audit as command
from controller.cli.client import Api, Refused
from controller.cli.main import main
from controller.store.gangs import advance
from controller.store.server import Server
from controller.store.words import Word
from controller.store.writer import Store, clock, random_uid
from ipam.gangs.slots import guids, serial
from model.bearing import FabricWord, HostPart, HostWord, Reached, format_fabric, format_host
from model.fabric import Guid
from model.gang import Gang, GangState, Progress
from model.hardware import format_pci, parse_pci
from model.sighting import SeenPf, SeenVf, Sighting
from tests.unit.api.house import House
from tests.unit.api.test_gangs import ask, hardware
from tests.unit.api.test_hosts import tell
from tests.unit.api.test_objects import refused

__all__ = ["hardware"]
ACTIVE = Progress(GangState.ACTIVE, GangState.ACTIVE)


class Late:
    """A house of its own whose API's clock the test moves on, and everybody's with it."""

    def __init__(self, store: Store, path: Path) -> None:
        self.ahead = 0
        self.path = path
        self.api = Api(f"unix:{path}")
        self.house = House(self.api, store, Service(store, self.now, random_uid), path)

    def now(self) -> int:
        return clock() + self.ahead

    def cli(self, *words: str) -> int:
        return main(["--api", f"unix:{self.path}", "ipam", "audit", *words])


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    kept = Server(tmp_path_factory.mktemp("s"))
    kept.start()
    store = Store(kept.remote)
    store.ensure_cluster(65000, ())
    made = Late(store, tmp_path_factory.mktemp("a") / "api.sock")
    listening = listen(made.path, "no-such-group")
    running = server(create(made.house.service), 64)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not running.started:
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.01)
    try:
        yield made
    finally:
        running.should_exit = True
        thread.join(20)
        listening.close()
        store.close()
        kept.stop()


@pytest.fixture(scope="module")
def house(clocked: Late) -> House:
    """For `hardware`: not the one that other files share, because time goes on here."""
    return clocked.house


@pytest.fixture
def late(clocked: Late, hardware) -> Iterator[Late]:
    """What earlier tests had has cooled down, and what they said is old."""
    assert hardware is clocked.house
    clocked.ahead += 1_000_000
    yield clocked
    for gang in list(hardware.store.contents().ledger.gangs.values()):
        hardware.store.move(advance(gang, Progress(GangState.RESERVED, GangState.PLANNED), clock()))
        waited(hardware, gang, GangState.RESERVED)
        name, tenant = gang.request.name, gang.request.tenant
        hardware.api.once("DELETE", f"/v1/tenants/{tenant}/gangs/{name}")
    for name in ("hv1", "hv2", "hv3"):
        say_host(clocked, name, ())


def waited(house: House, gang: Gang, state: GangState) -> Gang:
    """The gang, once the API's store knows of the state."""
    deadline = time.monotonic() + 20
    while True:
        now = house.store.contents().ledger.gangs[gang.request.tenant, gang.request.name]
        if now.progress.state is state:
            return now
        assert time.monotonic() < deadline
        time.sleep(0.01)


def active(late: Late) -> Gang:
    """A gang of two nodes, as it is when everything was done for it."""
    made = ask(late.house)
    gang = late.house.store.contents().ledger.gangs["job-tenant", made["metadata"]["name"]]
    late.house.store.move(advance(gang, ACTIVE, late.now() - 1_000_000))
    return waited(late.house, gang, GangState.ACTIVE)


def say_host(late: Late, host: str, parts: tuple[HostPart, ...], driver: str = "") -> None:
    """The host's report and word; `driver`: of VF 7 of its first PF, which no gang has."""
    contents = late.house.store.contents()
    (node,) = (record.value for record in contents.nodes.values() if record.value.host == host)
    sku, fabric = contents.skus[node.sku].value, contents.fabrics[node.fabric].value
    borne = {
        (i.pf, i.vf)
        for gang in contents.ledger.gangs.values()
        for berth in gang.berths
        if berth.node == node.name and gang.progress.state is GangState.ACTIVE
        for i in berth.interfaces
    }
    pfs = []
    for place, slot in enumerate(sku.pfs):
        vfs = []
        for index in range(slot.vfs):
            pair = guids(fabric, serial(node.key, place, index)) or (0, 0)
            seen = SeenVf(index, parse_pci(format_pci(slot.pci + index + 1)), "", 0, *pair)
            seen = replace(seen, driver="mlx5_core") if (slot.name, index) in borne else seen
            free = (place, index) == (0, slot.vfs - 1)
            vfs.append(replace(seen, driver=driver) if driver and free else seen)
        pfs.append(SeenPf(slot.pci, made=slot.vfs, vfs=tuple(vfs)))
    tell(late.house, host, 1, devices=Sighting(tuple(pfs)), stamp_ms=late.now())
    late.house.store.say_of_host(Word(host, format_host(HostWord(parts)), late.now()))


def say_all(late: Late, gang: Gang, driver: str = "", **more: tuple[int, ...]) -> None:
    """Hosts and fabric say what is true of an active gang; `more`: tables of ports by GUID in hex."""
    part = HostPart(gang.generation, GangState.ACTIVE, GangState.ACTIVE, Reached.UP)
    say_host(late, "hv1", (part,))
    say_host(late, "hv2", (part,), driver)
    tables: dict[Guid, tuple[int, ...] | None] = {
        i.port_guid: (gang.pkey | 0x8000, 0x7FFF, 0) for berth in gang.berths for i in berth.interfaces
    }
    tables |= {Guid(int(name[1:], 16)): entries for name, entries in more.items()}
    word = FabricWord("east", "opensm", "test", (), (), tables)
    late.house.store.say_of_fabric(Word("east", format_fabric(word), late.now()))


def free_port(late: Late) -> str:
    """The port of the last VF of h200-2's first PF, as a keyword of `say_all`."""
    contents = late.house.store.contents()
    node = contents.nodes["h200-2"].value
    last = contents.skus[node.sku].value.pfs[0].vfs - 1
    pair = guids(contents.fabrics["east"].value, serial(node.key, 0, last))
    assert pair is not None
    return f"g{pair[1]:x}"


def rules(answer) -> set[str]:
    return {each["rule"] for each in answer["findings"]}


def test_silence_then_agreement_then_one_difference(late: Late, capsys) -> None:
    gang = active(late)
    late.ahead += 100_000
    found = late.api.get("/v1/ipam/audit")
    assert rules(found) == {"host-silent", "fabric-silent"}
    say_all(late, gang)
    found = late.api.get("/v1/ipam/audit")
    assert (found["clean"], found["rows"], found["findings"]) == (True, [], [])
    assert (found["agreement"]["tenants"], found["agreement"]["counts"]["partition keys"]) == (1, 1)
    whole = late.api.get("/v1/ipam/audit", {"all": "true"})["rows"]
    assert len(whole) == found["checked"] > 16
    (row,) = (r for r in whole if (r["node"], r["pf"], r["vf"]) == ("h200-1", "rail0", 0))
    assert row["store"]["state"] == "active"
    assert row["seen"]["driver"] == "mlx5_core"
    assert row["port"]["table"] == [f"0x{gang.pkey | 0x8000:04x}", "0x7fff"]
    assert late.cli() == 0
    assert "all agree" in capsys.readouterr().out
    assert late.cli("--all") == 0
    assert "job-tenant/train, active" in capsys.readouterr().out
    first = gang.berths[0].interfaces[0].port_guid
    say_all(late, gang, **{f"g{first:x}": (0x7FFF,)})
    assert late.cli() == 1
    shown = capsys.readouterr().out
    assert "lacking" in shown
    assert "h200-2" not in shown
    assert late.cli("-o", "json") == 1
    assert rules(json.loads(capsys.readouterr().out)) == {"lacking"}


def test_reclaim_takes_only_what_several_looks_have_shown(late: Late, capsys, monkeypatch) -> None:
    gang = active(late)
    port = free_port(late)

    def speak(_seconds: float = 0) -> None:
        """Time goes on, and everybody says the same again."""
        late.ahead += 66_000
        say_all(late, gang, "vfio-pci", **{port: (0x8123, 0x7FFF)})

    late.ahead += 100_000
    speak()
    found = late.api.get("/v1/ipam/audit")
    assert rules(found) == {"orphan-membership", "vf-in-use-unallocated"}
    names = [each["name"] for each in found["orphans"]]
    assert [each["looks"] for each in found["orphans"]] == [1, 1]
    early = refused(lambda: late.api.post("/v1/ipam/reclaim", None, {"orphans": names}))
    assert {fault["rule"] for fault in early.faults} == {"orphan-young"}
    other = refused(lambda: late.api.post("/v1/ipam/reclaim", None, {"orphans": ["VF x/y/1"]}))
    assert {fault["rule"] for fault in other.faults} == {"orphan-gone"}
    assert len(late.house.store.contents().ledger.gangs) == 1
    monkeypatch.setattr(command, "sleep", speak)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(SystemExit, match="2"):
        late.cli("--reclaim")
    assert "write --yes" in capsys.readouterr().err
    assert late.cli("--reclaim", "--yes") == 0
    assert "is being undone" in capsys.readouterr().out
    made = late.house.store.contents().ledger.gangs
    (name,) = (each for each in made if each[0] != "job-tenant")
    taken = made[name]
    assert (taken.request.tenant, taken.pkey, taken.size) == ("-0123", 0x0123, 1)
    assert taken.progress == Progress(GangState.RELEASING, GangState.PROGRAMMED)
    assert taken.request.name == f"reclaim-{taken.generation}"
    # It is somebody's now: no orphan any more, and nobody else gets the VF.
    assert late.api.get("/v1/ipam/audit")["orphans"] == []
    listed = {(i["metadata"]["tenant"], i["status"]["state"]) for i in late.api.get("/v1/gangs")["items"]}
    assert listed == {("job-tenant", "active"), ("-0123", "releasing")}


def test_a_word_that_can_not_be_read_is_silence(late: Late) -> None:
    gang = active(late)
    late.ahead += 100_000
    say_all(late, gang)
    late.house.store.say_of_fabric(Word("east", '{"fabric": 7}', late.now()))
    late.house.store.say_of_host(Word("hv1", "[", late.now()))
    assert rules(late.api.get("/v1/ipam/audit")) == {"fabric-silent", "bearing-silent"}


def test_wrong_use_is_told(late: Late, capsys) -> None:
    for words in (["audit", "--node", "x"], ["pools", "--reclaim"]):
        with pytest.raises(SystemExit, match="2"):
            main(["--api", f"unix:{late.path}", "ipam", *words])
    assert "ipam audit" in capsys.readouterr().err
    with pytest.raises(Refused):
        late.api.post("/v1/ipam/reclaim", None, {"orphans": "all"})


def test_rules_for_the_leaves_owner(late: Late, capsys) -> None:
    words = ["--api", f"unix:{late.path}", "ipam", "leaf-rules", "--fabric", "west"]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert [word for word in ("4789", "179", "su2-leaf0", "from host", "to host") if word not in table] == []
    more = ["--leaf", "su2-leaf0", "--format", "nft"]
    assert main([*words, *more, "--port", "b200-1/rail0=swp7"]) == 0
    shown = capsys.readouterr()
    assert 'elements = { "swp7" }' in shown.out
    assert "su2-leaf1" not in shown.out
    assert main([*words, *more]) == 0
    assert "1 ports have no name" in capsys.readouterr().err
    assert main([*words, "--format", "acl", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["leaves"]) == 8
    for wrong, rule in (({"fabric": "east"}, "infiniband"), ({"port": "x=y"}, "port-syntax")):
        query = {"fabric": "west", **wrong}
        found = refused(lambda query=query: late.api.get("/v1/ipam/leaf-rules", query))
        assert {fault["rule"] for fault in found.faults} == {rule}
    with pytest.raises(SystemExit, match="2"):
        main(["--api", f"unix:{late.path}", "ipam", "pools", "--format", "nft"])
