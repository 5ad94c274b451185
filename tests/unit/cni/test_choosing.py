"""Which interface it is: device, rail, PF, VF, GUID, gang; and what no argument can get."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.berths import gang, interface
from tests.unit.cni.conftest import Desk


@pytest.fixture
def rails(desk: Desk) -> Desk:
    """Two rails with two VFs each, of acme; one of globex; one that waits."""
    second = {"pf": "rail1", "rail": 1, "railName": "east1"}
    desk.write(
        gang(
            [
                interface(0),
                interface(1),
                interface(2, **second, portGuid="0200:5200:0000:0001"),
                interface(3, **second, nodeGuid=0x0200520000000099),
            ],
            pkey="0x0010",
        ),
        gang([interface(4)], tenant="globex", name="theirs", generation=8),
        gang([interface(5)], name="later", generation=9, state="programmed"),
    )
    return desk


def ours(desk: Desk, **keys: Any) -> dict[str, Any]:
    return {"ipam": desk.config["ipam"] | keys}


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"runtimeConfig": {"deviceID": "0000:18:01.3"}}, 3),
        ({"runtimeConfig": {"deviceID": "0000:18:01.2"}, "pciBusID": "0000:18:01.3"}, 2),
        ({"pciBusID": "0000:18:01.1"}, 1),
        ({"deviceID": "0000:18:01.1"}, 1),
        ({"args": {"cni": {"rail": 1}}}, 2),
        ({"args": {"cni": {"rail": "east1", "vf": "3"}}}, 3),
        ({"args": {"cni": {"pf": "rail0"}}}, 0),
        ({"args": {"cni": {"guid": "02:00:52:00:00:00:00:01"}}}, 2),
        ({"args": {"cni": {"guid": "0x0200520000000099"}}}, 3),
        ({"runtimeConfig": {"infinibandGUID": "0200:5200:0000:0001"}}, 2),
        ({"runtimeConfig": {"ips": ["10.128.0.13/24", "2001:DB8:1:0::13"]}}, 3),
        ({"args": {"cni": {"ips": ["10.128.0.11"], "rail": 0}}}, 1),
        ({"runtimeConfig": {"mac": "02:00:00:00:00:03"}}, 3),
    ],
)
def test_what_is_named_is_given(rails: Desk, config: dict[str, Any], number: int) -> None:
    assert rails.given("c1", config)[0] == f"10.128.0.{10 + number}/24"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("IgnoreUnknown=true;K8S_POD_NAMESPACE=acme;K8S_POD_NAME=train-0;RAIL=1", 2),
        ("GANG=train;rail=0;vf=1;", 1),
        ("guid=0200520000000001", 2),
        ("IP=10.128.0.13/24", 3),
    ],
)
def test_arguments_of_the_environment(rails: Desk, text: str, number: int) -> None:
    assert rails.given("c1", CNI_ARGS=text)[0] == f"10.128.0.{10 + number}/24"


def test_structured_arguments_hide_plain_ones(rails: Desk) -> None:
    config = {"args": {"cni": {"rail": 1}}}
    assert rails.given("c1", config, CNI_ARGS="RAIL=0")[0] == "10.128.0.12/24"


def test_configured_keys_bind(rails: Desk) -> None:
    config = ours(rails, rail=0)
    assert rails.given("c1", config)[0] == "10.128.0.10/24"
    code, message = rails.refused("ADD", "c2", config | {"args": {"cni": {"rail": 1}}})
    assert (code, "rail is '0'" in message) == (7, True)


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({}, 7, "several rails"),
        ({"runtimeConfig": {"deviceID": "0000:18:01.4"}}, 7, "no interface with pci 0000:18:01.4"),
        ({"runtimeConfig": {"deviceID": "0000:99:01.4"}}, 7, "no interface"),
        ({"runtimeConfig": {"deviceID": "mlx5_core.sf.4"}}, 7, "deviceID"),
        ({"runtimeConfig": {"deviceID": "0000:18:01.5"}}, 11, "later of tenant acme is programmed"),
        ({"args": {"cni": {"tenant": "globex", "rail": 0}}}, 7, "tenant is 'acme'"),
        ({"args": {"cni": {"gang": "theirs"}}}, 11, "nothing of gang theirs"),
        ({"args": {"cni": {"gang": "later"}}}, 11, "programmed"),
        ({"args": {"cni": {"vf": "x"}}}, 7, "vf of args.cni"),
        ({"args": {"cni": {"guid": "0"}}}, 7, "guid"),
        ({"args": {"cni": {"guid": "0000:0000:0000:0000"}}}, 7, "no interface"),
        ({"args": {"cni": {"pkey": "0x0011", "rail": 0}}}, 7, "pkey 0x11"),
        ({"args": {"cni": {"rail": ["x"]}}}, 7, "rail of args.cni"),
        ({"runtimeConfig": {"ips": ["10.128.0.99"]}}, 7, "no interface with ips 10.128.0.99"),
        ({"runtimeConfig": {"ips": ["10.128.0.14"]}}, 7, "no interface"),
        ({"runtimeConfig": {"ips": ["x"]}}, 7, "no address"),
        ({"runtimeConfig": {"ips": {}}}, 7, "no address"),
        ({"runtimeConfig": {"mac": "x"}}, 7, "mac of runtimeConfig"),
        ({"args": 7}, 7, "args is no object"),
        ({"runtimeConfig": {"deviceID": "0000:18:01.1"}, "args": {"cni": {"pci": "0000:18:01.2"}}}, 7, "pci"),
    ],
)
def test_what_cannot_be_given(rails: Desk, config: dict[str, Any], code: int, said: str) -> None:
    answer = rails.refused("ADD", "c1", config)
    assert answer[0] == code
    assert said in answer[1]
    assert "globex" not in answer[1] or "asked for" in answer[1], "it tells of another tenant"
    assert rails.held() == []


def test_a_partition_key_may_be_named(rails: Desk) -> None:
    assert rails.given("c1", ours(rails, rail=1, pkey="0x8010"))[0] == "10.128.0.12/24"


def test_no_tenant_no_interface(rails: Desk) -> None:
    del rails.config["ipam"]["tenant"]
    code, message = rails.refused("ADD", "c1", {"args": {"cni": {"tenant": "acme", "rail": 0}}})
    assert (code, message) == (7, "tenant is missing")


@pytest.mark.parametrize("state", ["planned", "reserved", "programmed", "verified", "releasing", "failed"])
def test_only_active_gangs(desk: Desk, state: str) -> None:
    desk.write(gang([interface(0)], state=state))
    code, message = desk.refused("ADD")
    assert (code, state in message) == (11, True)


def test_a_page_that_does_not_say_how_far_devices_are(desk: Desk) -> None:
    """Silence is not taken for up."""
    said = gang([interface(0)])
    del said["reached"]
    desk.write(said)
    code, message = desk.refused("ADD")
    assert (code, "reached is no text" in message) == (6, True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 6),
        ("{}", 6),
        ('{"version": 2, "gangs": []}', 6),
        ('{"version": 1, "gangs": [7]}', 6),
        ('{"version": 1, "gangs": [{"tenant": "acme"}]}', 6),
        ('{"version": 1, "gangs": [' * 20000, 6),
        ('{"version": 1, "gangs": []}', 11),
    ],
)
def test_a_page_of_berths_that_says_nothing(desk: Desk, text: str, code: int) -> None:
    desk.berths.write_text(text, encoding="utf-8")
    assert desk.refused("ADD")[0] == code
    assert desk.refused("STATUS")[0] == 50


def test_no_page_of_berths(desk: Desk) -> None:
    desk.berths.unlink()
    assert desk.refused("ADD")[0] == 11
    desk.berths.mkdir()
    assert desk.refused("ADD")[0] == 5


def test_two_active_gangs_of_one_vf_are_none(desk: Desk) -> None:
    desk.write(gang([interface(0)]), gang([interface(0)], name="twin", generation=9))
    assert desk.refused("ADD")[0] == 6


def test_one_strange_interface_spoils_the_page(desk: Desk) -> None:
    for change in (
        {"pci": "../../x"},
        {"addresses": ["x/24"]},
        {"gateway": ["10.0.0"]},
        {"vf": -1},
        {"mac": "no"},
        {"rail": True},
    ):
        desk.write(gang([interface(0), interface(1, **change)]))
        assert desk.refused("ADD")[0] == 6, change
