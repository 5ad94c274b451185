"""`ringfence evpn` as people run it: what is printed, and the exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.cli.commands import NOT_REACHED, OK, REFUSED, USAGE
from controller.cli.evpn import _time
from tests.unit.api.test_glass import ROUTE
from tests.unit.api.test_hosts import tenant_on
from tests.unit.api.test_objects import apply, document
from tests.unit.api.test_sight import agent
from tests.unit.cli.test_commands import ringfence

NEIGHBOUR = {
    "peer": "192.0.2.200",
    "state": "established",
    "seconds": 3_725,
    "sessions": 2,
    "received": 9,
    "accepted": 7,
    "refused": 2,
    "error": "hold timer \x1b[2Jexpired",
}
SAID = {"route": "RT-2 mac 02:..", "network": "a/net", "vtep": "192.0.2.9", "targets": ["65000:10100"]}


@pytest.mark.parametrize(
    ("words", "row", "shown"),
    [
        (["routes"], ROUTE, ("02:00:00:00:00:01", "10.0.0.1", "0x52f1500000000001 (2)")),
        (["routes"], ROUTE | {"became": []}, ("none here",)),
        (
            ["routes", "--paths"],
            SAID | {"use": "spare", "state": "held", "peers": ["192.0.2.200"]},
            ("spare", "held", "192.0.2.200"),
        ),
        (["advertised"], SAID, ("RT-2 mac 02:..", "65000:10100")),
        (["rejected"], SAID | {"peer": "192.0.2.200", "reason": "stolen; look into it"}, ("stolen",)),
        (
            ["duplicates"],
            ROUTE | {"state": "damped", "moves": 5, "seconds": 9, "contenders": ["192.0.2.8", "192.0.2.9"]},
            ("damped", "192.0.2.8 192.0.2.9", "9s"),
        ),
        (["neighbors"], NEIGHBOUR, ("established", "1h02m", "9", "7", "\\x1b[2Jexpired")),
    ],
)
def test_rows_are_printed(
    house, remote, words: list[str], row: dict[str, Any], shown: tuple[str, ...]
) -> None:
    tenant_on(house, "ge-a", 240, "gea1")
    with agent(house, remote, "gea1", lambda _: {"ok": {"rows": [row], "left": 4}}):
        ran = ringfence(house, "evpn", *words, "--host", "gea1")
        plain = ringfence(house, "evpn", *words, "--host", "gea1", "-o", "json")
    assert ran.returncode == plain.returncode == OK, ran.stderr
    assert all(word in ran.stdout for word in (*shown, "gea1")), ran.stdout
    assert "4 more are not shown" in ran.stderr
    assert json.loads(plain.stdout)["items"][0]["host"] == "gea1"


def test_nothing_is_said_to_be_nothing(house, remote) -> None:
    tenant_on(house, "ge-b", 241, "geb1")
    with agent(house, remote, "geb1", lambda _: {"ok": {"rows": [], "left": 0}}):
        ran = ringfence(house, "evpn", "rejected", "--host", "geb1")
    assert (ran.returncode, ran.stdout, ran.stderr) == (OK, "", "none\n")


def test_a_silent_host_has_an_exit_code_of_its_own(house) -> None:
    apply(house, document("Hypervisor", "gec1", vtep="192.0.2.242"))
    ran = ringfence(house, "evpn", "routes", "--host", "gec1")
    assert ran.returncode == NOT_REACHED and "Hypervisor gec1: it has never reported" in ran.stderr
    ran = ringfence(house, "evpn", "routes")
    assert ran.returncode == NOT_REACHED and "Hypervisor gec1 did not answer" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["routes", "--tenant", "nobody"], REFUSED, "Tenant nobody: it does not exist [not-found]"),
        (["routes", "--mac", "02:zz"], REFUSED, "is no MAC [mac-syntax]"),
        (["routes", "--ip", "10.0.0.256"], REFUSED, "is no address [address-syntax]"),
        (["routes", "--host", "nohost"], REFUSED, "Hypervisor nohost: it does not exist"),
        (["routes", "--type", "6"], USAGE, "invalid choice"),
        (["neighbors", "--mac", "02:00:00:00:00:01"], USAGE, "neighbors takes --host only"),
        (["rejected", "--paths"], USAGE, "--paths is for"),
        (["routes", "02:00:00:00:00:01"], USAGE, "are for: ringfence evpn release"),
        (["release"], USAGE, "release needs a MAC or an address"),
        (["release", "02:00:00:00:00:01"], USAGE, "and --network"),
        (["release", "10.0.0.1", "--network", "a/b", "--mac", "x"], USAGE, "takes --network and --host only"),
        (["release", "10.0.0.1", "--network", "a/b"], REFUSED, "Network a/b: it does not exist"),
        (["everything"], USAGE, "invalid choice"),
        ([], USAGE, "usage: ringfence evpn"),
    ],
)
def test_mistakes_are_answered(house, words: list[str], code: int, said: str) -> None:
    ran = ringfence(house, "evpn", *words)
    assert ran.returncode == code and said in ran.stderr and not ran.stdout, ran.stderr


def test_times_are_short() -> None:
    assert [_time(n) for n in (9, 247, 7_500, 273_700)] == ["9s", "4m07s", "2h05m", "3d04h"]


def test_what_is_damped_is_released(house, remote) -> None:
    tenant_on(house, "ge-d", 243, "ged1")
    words = ["release", "02:00:00:00:00:01", "--network", "ge-d/net", "--host", "ged1"]
    with agent(house, remote, "ged1", lambda _: {"ok": {"rows": [ROUTE], "left": 0}}) as heard:
        ran = ringfence(house, "evpn", *words)
    assert ran.returncode == OK, ran.stderr
    said = "ged1: 02:00:00:00:00:01 10.0.0.1 in a/net is released; it was held at 192.0.2.9"
    assert said in ran.stdout
    ((kind, body),) = heard
    assert kind == "evpn-release" and body["what"] == "02:00:00:00:00:01" and body["network"]
    with agent(house, remote, "ged1", lambda _: {"ok": {"rows": [], "left": 0}}):
        ran = ringfence(house, "evpn", *words)
        wrong = ringfence(house, "evpn", "release", "02:zz", "--network", "ge-d/net", "--host", "ged1")
    assert ran.returncode == REFUSED and "no host damps it in ge-d/net [not-damped]" in ran.stderr
    assert wrong.returncode == REFUSED and "is neither a MAC nor an address" in wrong.stderr
