"""What the API and the command say of a gang's life: what it waits for, why it failed, how it goes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from controller.cli.client import Refused
from controller.cli.main import main
from controller.store import gangs
from controller.store.words import Word
from controller.store.writer import clock
from model.bearing import FabricWord, HostPart, HostWord, Reached, Wait, format_fabric, format_host
from model.errors import Fault
from model.gang import Event, Gang, GangState, begin, finish
from tests.unit.api.test_gangs import ask, hardware, release, yard  # noqa: F401
from topologies.deadline import until

PLACE = "/v1/tenants/job-tenant/gangs/train"


def the(house) -> Gang:
    return house.store.contents().ledger.gangs["job-tenant", "train"]


def move(house, *events: Event, why: str = "") -> None:
    """As the process of the fabric writes it."""
    gang = the(house)
    progress = gang.progress
    for event in events:
        progress = finish(progress, event)
    if events[-1] is not Event.FAIL and progress.state is not GangState.ACTIVE:
        progress = begin(progress, Event.PROGRAM if progress.state is GangState.RESERVED else Event.VERIFY)
    house.store.move(gangs.advance(gang, progress, clock(), why))
    poll(house, lambda: the(house).progress == progress)


def start(house) -> None:
    gang = the(house)
    progress = begin(gang.progress, Event.PROGRAM)
    house.store.move(gangs.advance(gang, progress, clock()))
    poll(house, lambda: the(house).progress == progress)


def depart(house) -> None:
    gang, contents = the(house), house.store.contents()
    now = clock()
    progress = finish(gang.progress, Event.CLEAR)
    house.store.move(gangs.departure(contents, gang, progress, now + 60_000, now))
    poll(house, lambda: ("job-tenant", "train") not in house.store.contents().ledger.gangs)


def poll(house, holds) -> None:
    until("it is so", holds, 60)


def speak(house, *waits: Wait, age: int = 0, alarms: tuple[Fault, ...] = ()) -> None:
    word = FabricWord("east", "opensm", "me", alarms, waits)
    house.store.say_of_fabric(Word("east", format_fabric(word), clock() - age))


def status(house) -> dict:
    return house.api.get(PLACE)["status"]


def test_it_says_what_a_gang_waits_for(yard) -> None:  # noqa: F811
    speak(yard, age=60_000)
    made = ask(yard)
    assert made["status"]["waitsFor"] == {"why": "no process speaks for fabric east"}
    assert made["status"]["since"] > 0
    generation = made["metadata"]["generation"]
    speak(yard, Wait(generation, "1 of 2 hosts have not set their devices: hv1 is silent", ("hv1",)))
    assert status(yard)["waitsFor"]["hosts"] == ["hv1"]
    assert "hv1 is silent" in yard.api.get("/v1/gangs")["items"][0]["status"]["waitsFor"]["why"]
    speak(yard, Wait(generation + 1, "another one's"))
    assert "waitsFor" not in status(yard)
    alarmed = yard.api.get("/v1/status")["alarms"]
    assert not [each for each in alarmed if each["object"] == "Fabric east"]
    speak(yard, alarms=(Fault("Fabric east", "fabric-silent", "the subnet manager takes no orders", ""),))
    assert status(yard)["waitsFor"]["why"] == "Fabric east: the subnet manager takes no orders"
    assert "the subnet manager takes no orders" in [
        a["message"] for a in yard.api.get("/v1/status")["alarms"]
    ]
    yard.store.say_of_fabric(Word("east", "{", clock()))
    alarmed = yard.api.get("/v1/status")["alarms"]
    (one,) = [each["message"] for each in alarmed if each["object"] == "Fabric east"]
    assert one == "no process speaks for it; 1 gangs are there"
    assert status(yard)["waitsFor"]["why"] == "no process speaks for fabric east"


def test_what_was_begun_is_given_back_by_others(yard) -> None:  # noqa: F811
    speak(yard)
    ask(yard)
    start(yard)
    answer = release(yard)
    assert (answer["released"], answer["status"]["state"]) == (False, "releasing")
    again = release(yard)
    assert (again["released"], again["status"]["state"]) == (False, "releasing")
    assert [item["status"]["state"] for item in yard.api.get("/v1/gangs")["items"]] == ["releasing"]
    with pytest.raises(Refused):
        ask(yard)
    depart(yard)
    shown = status(yard)
    assert shown["state"] == "released" and shown["coolsDownUntil"] > clock()
    with pytest.raises(Refused) as caught:
        release(yard)
    assert caught.value.status == 404


def test_it_tells_why_one_failed_also_when_it_is_gone(yard) -> None:  # noqa: F811
    speak(yard)
    ask(yard)
    start(yard)
    move(yard, Event.FAIL, why="not programmed within 120 s: hv1 is silent")
    shown = status(yard)
    assert (shown["state"], shown["why"]) == ("failed", "not programmed within 120 s: hv1 is silent")
    alarmed = yard.api.get("/v1/status")["alarms"]
    (one,) = [each["message"] for each in alarmed if each["object"] == "Gang job-tenant/train"]
    assert one == f"failed: {shown['why']}"
    depart(yard)
    shown = status(yard)
    assert (shown["state"], shown["why"]) == ("released", "not programmed within 120 s: hv1 is silent")


def test_a_node_that_is_dead_for_good(yard) -> None:  # noqa: F811
    speak(yard)
    gang = ask(yard)
    start(yard)
    host = gang["status"]["nodes"][0]["host"]
    part = HostPart(gang["metadata"]["generation"], GangState.RESERVED, GangState.PROGRAMMED, Reached.SET)

    def say(reached: Reached, age: int = 0) -> None:
        said = HostWord((HostPart(part.generation, part.state, part.begun, reached),))
        yard.store.say_of_host(Word(host, format_host(said), clock() - age))

    def rule(node: str) -> str:
        with pytest.raises(Refused) as caught:
            release(yard, without=[node])
        return caught.value.faults[0]["rule"]

    assert rule("h200-9") == "node-not-of-gang"
    say(Reached.SET)
    assert rule("h200-1") == "node-alive"
    assert the(yard).progress.state is GangState.RESERVED, "nothing was written"
    say(Reached.SET, age=60_000)
    assert release(yard, without=["h200-1"])["status"]["state"] == "releasing"
    assert the(yard).vouched == ("h200-1",)
    release(yard, without=["h200-2", "h200-1"])
    assert the(yard).vouched == ("h200-1", "h200-2")
    depart(yard)


def test_by_command_it_is_waited_for(yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--api", f"unix:{yard.socket}", "gang", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    def soon(*steps) -> threading.Thread:
        def act() -> None:
            poll(yard, lambda: ("job-tenant", "train") in yard.store.contents().ledger.gangs)
            for step in steps:
                step()

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        return thread

    speak(yard, age=60_000)
    file = tmp_path / "train.yaml"
    file.write_text("tenant: job-tenant\nname: train\nfabric: east\ncount: 2\nrails: [rail0]\n")
    code, out, err = run("request", "-f", str(file), "--wait", "--timeout", "0")
    assert (code, "not active within 0 s" in err) == (3, True)
    assert "Gang job-tenant/train: reserved" in out
    assert "waits: no process speaks for fabric east" in out and "no process speaks" in run("get")[1]
    code, out, err = run("release", "train", "--tenant", "job-tenant", "--wait")
    assert (code, out) == (0, "Gang job-tenant/train is released; what it had cools down\n")

    fail = soon(lambda: start(yard), lambda: move(yard, Event.FAIL, why="hv1 is silent"))
    code, out, err = run("request", "-f", str(file), "--wait", "--timeout", "60")
    fail.join(30)
    assert (code, "why: hv1 is silent" in out) == (3, True), (out, err)
    code, out, err = run("release", "train", "--tenant", "job-tenant")
    assert (code, out) == (0, "Gang job-tenant/train is failed: its hosts and its fabric give it back\n")
    before = yard.store.generation()

    def released() -> bool:
        """As the API's cache knows it: what is written next is made of that."""
        cluster = yard.store.contents().cluster
        return cluster is not None and cluster.generation > before

    going = soon(lambda: poll(yard, released), lambda: depart(yard))
    code, out, err = run("release", "train", "--tenant", "job-tenant", "--wait")
    going.join(30)
    assert (code, "is released" in out) == (0, True)

    speak(yard)
    up = soon(lambda: move(yard, Event.PROGRAM, Event.VERIFY, Event.ACTIVATE))
    code, out, err = run("request", "-f", str(file), "--wait", "-o", "json")
    up.join(30)
    assert (code, json.loads(out)["status"]["state"]) == (0, "active")
    assert err.splitlines()[-1] == "Gang job-tenant/train: active"
    assert run("get", "train", "--tenant", "job-tenant", "--watch")[0] == 0
    with pytest.raises(SystemExit):
        run("get", "--watch")
    start_release = run("release", "train", "--tenant", "job-tenant")
    assert "is releasing" in start_release[1]
    depart(yard)
