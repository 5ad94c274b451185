"""Gangs through real HTTP, a real store and the CLI."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from controller.api.gangs import QUEUE
from controller.api.pools import Memory
from controller.api.turns import Turns
from controller.cli.client import Refused
from controller.cli.main import main
from ipam.contents import Contents
from ipam.gangs.levels import Level, What
from model.errors import Unavailable
from tests.unit.api.test_hardware import texts
from tests.unit.api.test_objects import apply, document, refused

EAST = {"name": "train", "fabric": "east", "nodes": ["h200-1", "h200-2"]}


@pytest.fixture(scope="module")
def hardware(house):
    """The example hardware, and a tenant; hosts whose VTEPs are no other test's."""
    apply(house, *(document("Hypervisor", f"hv{n}", vtep=f"198.51.100.{n}") for n in (1, 2, 3)))
    sources = [{"name": "examples", "text": texts()}]
    house.api.post("/v1/apply", body={"sources": sources})
    apply(house, document("Tenant", "job-tenant"))
    yield house
    house.api.once("DELETE", "/v1/tenants/job-tenant")
    # The hosts too: other files apply the examples in the same house.
    hosts = "\n---\n".join(json.dumps(document("Hypervisor", f"hv{n}")) for n in (1, 2, 3))
    gone = [*sources, {"name": "hosts", "text": hosts}]
    house.api.once("POST", "/v1/delete", body={"sources": gone})


@pytest.fixture
def yard(hardware):
    """No gang is left afterwards."""
    yield hardware
    for item in hardware.api.get("/v1/gangs")["items"]:
        release(hardware, item["metadata"]["name"])


def ask(house, key: str = "", **more):
    return house.api.once("POST", "/v1/tenants/job-tenant/gangs", body={**EAST, **more}, key=key)


def one_of(pf: str, **more) -> dict:
    return {"node": "h200-1", "pf": pf, **more}


def broken(house, key: str = "", **more) -> set[str]:
    return {fault["rule"] for fault in refused(lambda: ask(house, key, **more)).faults}


def release(house, name: str = "train", **query):
    return house.api.once("DELETE", f"/v1/tenants/job-tenant/gangs/{name}", query or None)


def test_a_gang_from_request_to_release(yard) -> None:
    made = ask(yard)
    assert made["status"]["state"] == "reserved"
    assert made["status"]["interfaces"] == 16
    one = made["status"]["nodes"][0]["interfaces"][0]
    assert set(one) == {"pf", "vf", "rail", "addresses", "nodeGuid", "portGuid", "pkeyIndex"}
    assert one["rail"] == "rail0"
    assert one["addresses"][0].endswith("/20")
    assert one["portGuid"].startswith("0200:5200:")
    shown = yard.api.get("/v1/tenants/job-tenant/gangs/train")
    assert shown == {k: v for k, v in made.items() if k not in {"dryRun", "replayed"}}
    listed = yard.api.get("/v1/gangs", {"tenant": "job-tenant"})["items"]
    assert [item["status"]["nodes"] for item in listed] == [["h200-1", "h200-2"]]
    assert yard.api.get("/v1/gangs", {"tenant": "other"})["items"] == []
    assert yard.api.get("/v1/tenants/job-tenant/gangs")["items"] == listed
    assert refused(lambda: yard.api.get("/v1/tenants/other/gangs")).status == 404
    generation = made["metadata"]["generation"]
    assert release(yard, generation=generation)["metadata"]["generation"] == generation
    with pytest.raises(Refused) as caught:
        release(yard, generation=generation)
    assert caught.value.status == 404


def test_who_uses_its_vfs_is_kept_with_the_request(yard) -> None:
    def tried(**more):
        body = {"name": "try", "fabric": "east", "count": 1, **more}
        return yard.api.post("/v1/tenants/job-tenant/gangs", {"dryRun": "true"}, body)

    assert "for" not in tried()["spec"]
    assert tried(**{"for": "vm"})["spec"]["for"] == "vm"
    assert {f["rule"] for f in refused(lambda: tried(**{"for": "pet"})).faults} == {"malformed-request"}


def test_the_same_key_is_the_same_gang(yard) -> None:
    first = ask(yard, key="once")
    again = ask(yard, key="once", within=5)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["metadata"] == first["metadata"]
    assert broken(yard, "once", each=2) == {"idempotency-key-reused"}
    release(yard)
    with pytest.raises(Refused) as caught:
        ask(yard, key="once")
    assert "was released" in caught.value.faults[0]["message"]


def test_a_dry_run_says_where_and_why_not_elsewhere(yard) -> None:
    place = "/v1/tenants/job-tenant/gangs"
    body = {"name": "try", "fabric": "east", "count": 1, "rails": ["rail3"]}
    tried = yard.api.post(place, {"dryRun": "true"}, body)
    assert (tried["dryRun"], tried["status"]["state"]) == (True, "planned")
    assert [(v["node"], v["chosen"], v["why"]) for v in tried["verdicts"]] == [
        ("h200-1", True, ["chosen"]),
        ("h200-2", False, ["would do, and was not needed"]),
    ]
    assert yard.api.get("/v1/gangs")["items"] == []


def test_a_link_of_roce_has_its_length_and_a_mac(yard) -> None:
    made = ask(yard, fabric="west", nodes=["b200-1"])
    one = made["status"]["nodes"][0]["interfaces"][0]
    assert [address.rpartition("/")[2] for address in one["addresses"]] == ["31", "127"]
    assert one["mac"].startswith("02:")
    assert "portGuid" not in one


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        ({"count": 1}, {"nodes-or-count"}),
        ({"nodes": []}, {"nodes-or-count"}),
        ({"nodes": ["h200-1", "h200-1"], "rails": ["rail9"]}, {"written-twice", "rail-unknown"}),
        ({"nodes": ["b200-1"]}, {"unknown-node"}),
        ({"fabric": "north"}, {"unknown-fabric"}),
        ({"each": 200}, {"nodes-short", "lack"}),
        ({"nodes": [], "count": 3}, {"nodes-short"}),
        ({"each": 0}, {"malformed-request"}),
        ({"each": "1"}, {"malformed-request"}),
        ({"name": "Train!"}, {"malformed-request"}),
        ({"colour": "red"}, {"malformed-request"}),
        ({"pkey": "0x7fff"}, {"pkey-syntax"}),
        ({"pkey": 0}, {"pkey-syntax"}),
        ({"pkey": "0x7ffe"}, {"pkey-outside"}),
        ({"interfaces": [{"node": "b200-1", "pf": "rail0", "vf": 0}]}, {"static-node"}),
        ({"interfaces": [{"node": "h200-1", "pf": "rail0"}]}, {"static-empty"}),
        ({"interfaces": [one_of("rail0", vf=0), one_of("rail0", vf=1)]}, {"static-many"}),
        ({"interfaces": [one_of("rail0", vf=0)] * 2, "each": 2}, {"written-twice"}),
        ({"interfaces": [one_of("rail0", addresses=["10.0.0.1", "10.0.0.2"])]}, {"one-per-family"}),
        ({"interfaces": [one_of("rail0", vf=255)]}, {"malformed-request"}),
        ({"interfaces": [one_of("rail0", addresses=["10.0.0.1/24"])]}, {"malformed-request"}),
        ({"interfaces": [one_of("rail0", vf=200)]}, {"nodes-short", "lack"}),
        ({"interfaces": [one_of("rail0", addresses=["192.0.2.1"])]}, {"address-outside"}),
        ({"within": 1e9}, {"malformed-request"}),
        ({"count": True, "nodes": []}, {"malformed-request"}),
    ],
)
def test_refused(yard, more, rules) -> None:
    assert broken(yard, **more) == rules
    assert yard.api.get("/v1/gangs")["items"] == []


def test_interfaces_by_value_are_kept_with_the_request(yard) -> None:
    (pf,) = {i["pf"] for i in ask(yard, rails=["rail3"])["status"]["nodes"][0]["interfaces"]}
    statics = [{"node": "h200-1", "pf": pf, "vf": 3}]
    made = ask(yard, name="named", rails=["rail3"], interfaces=statics)
    assert made["spec"]["interfaces"] == statics
    assert [i["vf"] for i in made["status"]["nodes"][0]["interfaces"]] == [3]
    assert broken(yard, name="more", rails=["rail3"], interfaces=statics) == {"nodes-short", "lack"}
    held = made["status"]["pkey"]
    assert ask(yard, name="more", rails=["rail4"], pkey=held)["spec"]["pkey"] == held
    assert broken(yard, name="other", rails=["rail4"], pkey=int(held, 16) + 7) == {"pkey-held"}


def test_refused_without_the_tenant(yard) -> None:
    with pytest.raises(Refused) as caught:
        yard.api.once("POST", "/v1/tenants/nobody/gangs", body=EAST)
    assert (caught.value.status, caught.value.faults[0]["object"]) == (404, "Tenant nobody")


def test_a_quota_holds_for_new_gangs_only(yard, capsys: pytest.CaptureFixture[str]) -> None:
    def tenant() -> dict:
        return yard.api.get("/v1/tenants/job-tenant")

    def run() -> str:
        assert main(["--api", f"unix:{yard.socket}", "get", "tenant", "job-tenant"]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert "quota" not in tenant()["spec"]
    apply(yard, document("Tenant", "job-tenant", quota={"gangs": 2, "interfaces": 20}))
    ask(yard)
    assert broken(yard, name="more", nodes=["h200-1"]) == {"quota"}, "8 more would be 24"
    ask(yard, name="small", nodes=["h200-1"], rails=["rail6"])
    assert broken(yard, name="third", nodes=["h200-1"], rails=["rail6"]) == {"quota"}
    shown = tenant()
    assert shown["spec"]["quota"] == {"gangs": 2, "interfaces": 20}
    assert (shown["status"]["gangs"], shown["status"]["interfaces"]) == (2, 17)
    assert "2/2" in run() and "17/20" in run()
    assert [change["verb"] for change in apply(yard, shown)["changes"]] == ["unchanged"]
    apply(yard, document("Tenant", "job-tenant"))
    assert tenant()["spec"]["quota"] == {"gangs": 2, "interfaces": 20}, "left out: it keeps it"
    apply(yard, document("Tenant", "job-tenant", quota={"interfaces": 0}))
    assert {item["metadata"]["name"] for item in yard.api.get("/v1/gangs")["items"]} == {"train", "small"}
    assert broken(yard, name="third", nodes=["h200-1"], rails=["rail6"]) == {"quota"}
    apply(yard, document("Tenant", "job-tenant", quota={}))
    assert "quota" not in tenant()["spec"]
    ask(yard, name="third", nodes=["h200-1"], rails=["rail6"])


def test_pools_say_how_full_they_are(yard, capsys: pytest.CaptureFixture[str]) -> None:
    def pool(what: str, rail: str = "") -> dict:
        found = yard.api.get("/v1/pools", {"fabric": "east"})["pools"]
        (one,) = [each for each in found if (each["what"], each["rail"]) == (what, rail)]
        return one

    before = {name: pool(name)["cooling"] for name in ("pkey", "block")}
    ask(yard, rails=["rail5"], each=2)
    vfs, idle = pool("vf", "rail5"), pool("vf", "rail7")
    assert (vfs["held"], idle["held"]) == (4, 0)
    assert vfs["free"] == vfs["size"] - 4 - vfs["cooling"]
    assert vfs["fragmentation"] > 0
    assert (pool("pkey")["held"], pool("block")["held"], pool("guid")["held"]) == (1, 1, 8)
    assert pool("ipv6", "rail5")["held"] == pool("ipv4", "rail5")["held"] == 4
    release(yard)
    assert (pool("vf", "rail5")["held"], pool("vf", "rail5")["cooling"]) == (0, vfs["cooling"] + 4)
    assert pool("pkey")["cooling"] == before["pkey"] + 1
    every = yard.api.get("/v1/pools")["pools"]
    assert {each["what"] for each in every if not each["fabric"]} == {"mac", "vni"}
    assert {each["fabric"] for each in every} >= {"", "east", "west"}
    assert not [
        each for each in every if each["fabric"] == "west" and each["what"] in {"pkey", "guid", "block"}
    ]
    assert refused(lambda: yard.api.get("/v1/pools", {"fabric": "north"})).status == 404
    assert main(["--api", f"unix:{yard.socket}", "ipam", "pools", "--fabric", "east"]) == 0
    title, heads, *lines = capsys.readouterr().out.splitlines()
    assert (title, heads.split()[:5]) == ("pools", ["FABRIC", "WHAT", "RAIL", "SIZE", "HELD"])
    assert [line.split()[1] for line in lines[:8]] == ["vf"] * 8
    assert main(["--api", f"unix:{yard.socket}", "ipam", "pools", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pools"]) == len(every)
    for wrong in (("pools", "--node", "h200-1"), ("inventory", "--fabric", "east")):
        with pytest.raises(SystemExit):
            main(["--api", f"unix:{yard.socket}", "ipam", *wrong])


def test_a_memory_foretells_when_a_pool_is_used_up() -> None:
    def level(held: int) -> Level:
        return Level("east", What.VF, "rail0", 100, held, 0, 100 - held)

    memory = Memory()
    assert memory.exhausted(level(10), 5_000) is None
    memory.note(Contents(), 0)
    assert memory.exhausted(level(10), 5_000) is None, "another pool's past says nothing"


def test_by_command(yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--api", f"unix:{yard.socket}", "gang", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    file = tmp_path / "train.yaml"
    file.write_text(
        "tenant: job-tenant\nname: train\nfabric: east\ncount: 2\nrails: [rail0, rail7]\narrange: spread\n"
    )
    code, out, _ = run("explain", "-f", str(file))
    assert code == 0
    assert "would be on 2 nodes, 4 interfaces; nothing is reserved" in out
    code, out, _ = run("request", "-f", str(file), "--dry-run")
    assert (code, "nothing is reserved" in out) == (0, True)
    assert run("get")[1].count("train") == 0
    code, out, _ = run("request", "-f", str(file), "--key", "k1")
    assert code == 0
    assert "Gang job-tenant/train: reserved: 2 nodes, 4 interfaces, partition key 0x" in out
    assert "h200-2" in out and "rail7" in out and "0200:5200:" in out
    code, out, _ = run("request", "-f", str(file), "--key", "k1", "-o", "json")
    assert (code, json.loads(out)["replayed"]) == (0, True)
    assert run("request", "-f", str(file))[0] == 1
    assert "train" in run("get")[1]
    assert run("get", "train", "--tenant", "job-tenant")[1].count("h200-1") == 2
    assert run("release", "train", "--tenant", "job-tenant", "--generation", "1")[0] == 1
    code, out, _ = run("release", "train", "--tenant", "job-tenant")
    assert (code, out) == (0, "Gang job-tenant/train is released; what it had cools down\n")
    code, out, _ = run("get", "train", "--tenant", "job-tenant")
    assert (code, "Gang job-tenant/train: released" in out) == (0, True), "as long as it cools down"
    for text in ("name: x\n", "- 1\n", "a: [\n", "tenant: t\nname: 2020-01-01\n"):
        file.write_text(text)
        with pytest.raises(SystemExit) as caught:
            run("request", "-f", str(file))
        assert caught.value.code == 2
    with pytest.raises(SystemExit):
        run("request", "-f", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        run("get", "train")


def test_turns_come_in_order_and_are_bounded() -> None:
    turns, order = Turns(3), list[int]()
    began, release_first = threading.Event(), threading.Event()

    def work(number: int) -> None:
        with turns.turn("x", 30):
            order.append(number)
            began.set()
            assert release_first.wait(30)

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=work, args=(number,), daemon=True))
        threads[-1].start()
        end = time.monotonic() + 30
        while len(turns._waiting) <= number:
            assert time.monotonic() < end
            time.sleep(0.001)
    assert began.wait(30)
    with pytest.raises(Unavailable) as caught, turns.turn("x", 30):
        pass
    assert caught.value.faults[0].rule == "queue-full"
    release_first.set()
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2]


def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    turns = Turns(3)
    with turns.turn("x", 1):
        with pytest.raises(Unavailable) as caught, turns.turn("Gang a/b", 0):
            pass
        assert caught.value.faults[0].rule == "deadline"
    with turns.turn("x", 0):
        pass


def test_those_who_wait_leave_threads_for_others() -> None:
    """A full queue must not be all that the API can do: each of it holds a thread."""

    async def threads() -> float:
        return anyio.to_thread.current_default_thread_limiter().total_tokens

    assert 0 < QUEUE <= anyio.run(threads) - 16
