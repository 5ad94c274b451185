"""Who has which VF: twice, late, raced for, forgotten, garbled, and after the gang has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.berths import gang, interface
from tests.unit.cni.conftest import Desk

ROOT = Path(__file__).parents[3]
FIRST, SECOND = "10.128.0.10/24", "10.128.0.11/24"


def test_each_attachment_gets_the_next_free_one(desk: Desk) -> None:
    assert desk.given("c1")[0] == FIRST
    assert desk.given("c2")[0] == SECOND
    code, message = desk.refused("ADD", "c3")
    assert code == 11
    assert "c1 has it" in message and "c2 has it" in message


def test_a_second_add_of_the_same_attachment_has_the_same(desk: Desk) -> None:
    assert desk.given("c1") == desk.given("c1")
    assert desk.held() == ["0000:18:01.0.json"]


def test_one_container_has_two_interfaces(desk: Desk) -> None:
    assert desk.given("c1", CNI_IFNAME="net1")[0] == FIRST
    assert desk.given("c1", CNI_IFNAME="net2")[0] == SECOND


def test_del_twice_and_without_a_namespace(desk: Desk) -> None:
    desk.given("c1")
    desk.given("c2")
    assert desk.ask("DEL", "c1", CNI_NETNS="") == (0, None)
    assert desk.ask("DEL", "c1", CNI_NETNS="") == (0, None)
    assert desk.held() == ["0000:18:01.1.json"]
    assert desk.given("c3")[0] == FIRST


def test_del_of_what_never_was(desk: Desk) -> None:
    assert desk.ask("DEL", "nobody") == (0, None)


def test_del_needs_neither_berths_nor_tenant(desk: Desk) -> None:
    """Undoing must work on the day when everything else is broken."""
    desk.given("c1")
    desk.berths.write_text("{", encoding="utf-8")
    del desk.config["ipam"]["tenant"]
    assert desk.ask("DEL", "c1", {"args": 7, "runtimeConfig": []}, CNI_ARGS="=;nonsense") == (0, None)
    assert desk.held() == []


def test_a_late_del_does_not_free_the_next_owner(desk: Desk) -> None:
    """The gang went and another one came, without a DEL of the old container."""
    desk.given("old")
    desk.write(gang([interface(0)], name="next", generation=8))
    assert desk.given("new")[0] == FIRST
    assert desk.ask("DEL", "old") == (0, None)
    assert desk.held() == ["0000:18:01.0.json"]
    assert desk.refused("ADD", "third")[0] == 11
    assert desk.ask("DEL", "new") == (0, None)
    assert desk.held() == []


def test_an_attachment_of_a_gang_that_went_has_to_be_deleted_first(desk: Desk) -> None:
    desk.given("c1")
    desk.write(gang([interface(1)], name="next", generation=8))
    code, message = desk.refused("ADD", "c1")
    assert (code, "already" in message) == (11, True)


def test_gc_frees_what_is_not_valid_of_this_network_only(desk: Desk) -> None:
    desk.write(gang([interface(number) for number in range(4)]))
    for container in ("c1", "c2"):
        desk.given(container)
    desk.given("c3", {"name": "other"})
    valid = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "net1"}]}
    assert desk.ask("GC", "", valid) == (0, None)
    assert desk.held() == ["0000:18:01.1.json", "0000:18:01.2.json"]
    assert desk.ask("GC", "", {"cni.dev/valid-attachments": None}) == (0, None)
    assert desk.held() == ["0000:18:01.2.json"]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"cni.dev/valid-attachments": {}}, {"cni.dev/valid-attachments": [{"containerID": "c2"}]}],
)
def test_gc_that_does_not_say_what_is_valid_frees_nothing(desk: Desk, wrong: dict[str, object]) -> None:
    desk.given("c1")
    assert desk.refused("GC", "", wrong)[0] == 7
    assert desk.held() == ["0000:18:01.0.json"]


def test_gc_of_another_interface_of_the_same_container(desk: Desk) -> None:
    desk.given("c1", CNI_IFNAME="net1")
    desk.given("c1", CNI_IFNAME="net2")
    assert desk.ask("GC", "", {"cni.dev/attachments": [{"containerID": "c1", "ifname": "net2"}]}) == (0, None)
    assert desk.held() == ["0000:18:01.1.json"]


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"pci": 7}', "\0" * 9, '{"a": ' * 4000])
def test_a_garbled_claim_is_somebodys(desk: Desk, garbage: str) -> None:
    desk.given("c1")
    path = desk.claims / "0000:18:01.0.json"
    path.write_text(garbage, encoding="utf-8")
    assert desk.given("c2")[0] == SECOND
    code, message = desk.refused("ADD", "c3")
    assert (code, str(path) in message) == (11, True)
    assert desk.ask("DEL", "c1") == (0, None)
    code, message = desk.refused("GC", "", {"cni.dev/valid-attachments": []})
    assert (code, str(path) in message) == (5, True)
    assert desk.held() == ["0000:18:01.0.json"], "the other one was freed nonetheless"
    path.unlink()
    assert desk.given("c3")[0] == FIRST


def test_a_claim_of_another_vf_under_a_wrong_name_is_garbled(desk: Desk) -> None:
    desk.given("c1")
    (desk.claims / "0000:18:01.0.json").rename(desk.claims / "0000:18:01.1.json")
    assert desk.given("c2")[0] == FIRST
    assert desk.refused("ADD", "c3")[0] == 11


def test_claims_are_whole_files_of_root(desk: Desk) -> None:
    desk.given("c1")
    path = desk.claims / "0000:18:01.0.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert desk.claims.stat().st_mode & 0o777 == 0o700
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["container"], kept["ifname"], kept["generation"]) == ("c1", "net1", 7)
    assert not list(desk.claims.glob(".*"))


def test_a_directory_that_cannot_be_is_an_error(desk: Desk) -> None:
    desk.claims.write_text("a file", encoding="utf-8")
    assert desk.refused("ADD")[0] == 5
    assert desk.refused("STATUS")[0] == 50


def test_racers_never_share_a_vf(desk: Desk) -> None:
    """Real processes: sixteen for four VFs."""
    desk.write(gang([interface(number) for number in range(4)]))
    text = json.dumps(desk.config)

    def run(number: int) -> tuple[int, dict[str, object]]:
        environ = desk.environ("ADD", f"c{number}") | {"PATH": os.environ["PATH"]}
        ran = subprocess.run(
            [sys.executable, "-c", START], input=text, env=environ, capture_output=True, text=True, timeout=60
        )
        assert ran.stderr == ""
        return ran.returncode, json.loads(ran.stdout)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(run, range(16)))
    addresses = [answer["ips"][0]["address"] for code, answer in answers if code == 0]
    assert sorted(addresses) == [f"10.128.0.{10 + number}/24" for number in range(4)]
    assert {answer["code"] for code, answer in answers if code} == {11}


START = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from controller.cni.main import main; sys.exit(main())"
)
