"""`ringfence trace` and `ringfence flows` as people run them: what is printed, and the exit codes."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from controller.cli.commands import DIFFERS, DROPPED, NOT_REACHED, OK, REFUSED, UNREACHABLE, USAGE
from tests.unit.api.test_hosts import tenant_on
from tests.unit.api.test_objects import apply, document
from tests.unit.api.test_sight import agent, away, end, leg
from tests.unit.cli.test_commands import command, environment, ringfence

FLOW = {
    "table": "route",
    "number": 24,
    "priority": 7,
    "match": "vrf=red",
    "actions": "out of x",
    "owner": "not ours",
    "ours": False,
    "cookie": "0x1",
    "packets": 5,
    "octets": 500,
    "seconds": 1.5,
}
COUNT = {"table": "route", "flows": 9, "strangers": 1, "packets": 5, "octets": 500}


@pytest.mark.parametrize(
    ("legs", "code"),
    [
        ([leg(end("delivered"))], OK),
        ([leg(end("answered"))], OK),
        ([leg(end("dropped"))], DROPPED),
        ([leg(end("dropped"), switch={"verdict": "differs", "text": "in route"})], DIFFERS),
        ([leg(end("delivered"), switch={"verdict": "unasked", "text": "no session"})], DIFFERS),
        ([leg(end("tunnelled"), onward=[away("192.0.2.231")])], NOT_REACHED),
    ],
    ids=["delivered", "answered", "dropped", "differs", "unasked", "unanswered"],
)
def test_the_exit_code_says_how_it_ended(house, remote, legs: list[dict[str, Any]], code: int) -> None:
    tenant_on(house, "ct-a", 230, "cta1")
    apply(house, document("Hypervisor", "cta2", vtep="192.0.2.231"))
    with agent(house, remote, "cta1", lambda _: {"ok": {"legs": legs}}):
        ran = ringfence(house, "trace", "--tenant", "ct-a", "--from", "p", "--to", "10.0.0.7")
        plain = ringfence(house, "trace", "--from", "ct-a/p", "--to", "10.0.0.7", "-o", "json")
    assert (ran.returncode, plain.returncode) == (code, code), ran.stderr
    assert not ran.stderr and "cta1: t" in ran.stdout and "classify" in ran.stdout
    assert json.loads(plain.stdout)["from"] == "ct-a/p"
    if code == NOT_REACHED:
        assert "Hypervisor cta2" in ran.stdout and "agent on cta2" in ran.stdout
    if code == DIFFERS:
        assert "THE SWITCH" in ran.stdout
    else:
        assert "the switch agrees" in ran.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "p", "--to", "10.0.0.1"],
        ["--from", "a/p", "--tenant", "b", "--to", "10.0.0.1"],
        ["--from", "/p", "--to", "10.0.0.1"],
        ["--from", "a/", "--to", "10.0.0.1"],
        ["--from", "a/p"],
        ["--to", "10.0.0.1"],
        ["--from", "a/p", "--to", "10.0.0.1", "--proto", "gre"],
        ["--from", "a/p", "--to", "10.0.0.1", "--dport", "x"],
        ["--from", "a/p", "--to", "10.0.0.1", "--proto", "tcp", "--dport", "65536"],
        ["--from", "a/p", "--to", "10.0.0.1", "--dport", "80"],
        ["--from", "a/p", "--to", "10.0.0.1", "--size", "-1"],
    ],
)
def test_wrong_use_of_trace(house, words: list[str]) -> None:
    ran = ringfence(house, "trace", *words)
    assert ran.returncode == USAGE and "usage: ringfence trace" in ran.stderr and not ran.stdout


def test_mistakes_of_a_trace_are_refused_in_words(house) -> None:
    tenant_on(house, "ct-b", 232, "ctb1")
    for words, said in (
        (["--from", "ct-b/pq", "--to", "10.0.0.1"], "Port ct-b/pq: it does not exist [not-found]"),
        (["--from", "ct-b/p", "--to", "10.0.0.256"], "is no address [address-syntax]"),
    ):
        ran = ringfence(house, "trace", *words)
        assert ran.returncode == REFUSED and said in ran.stderr, ran.stderr


def test_flows_and_counts_are_printed(house, remote) -> None:
    tenant_on(house, "ct-c", 233, "ctc1")
    answer = {"ok": {"flows": [FLOW], "counts": [COUNT], "left": 8, "unseen": 3}}
    with agent(house, remote, "ctc1", lambda _: answer) as heard:
        ran = ringfence(house, "flows", "ctc1", "--table", "route", "--port", "p", "--tenant", "ct-c")
        counts = ringfence(house, "flows", "ctc1", "--counts")
        plain = ringfence(house, "flows", "ctc1", "-o", "json")
    assert ran.returncode == counts.returncode == plain.returncode == OK, ran.stderr
    assert "not ours" in ran.stdout and "vrf=red" in ran.stdout
    assert "8 more are not shown" in ran.stderr and "3 flows were not looked at" in ran.stderr
    assert "STRANGERS" in counts.stdout and "vrf=red" not in counts.stdout
    assert json.loads(plain.stdout)["flows"] == [FLOW]
    assert heard[0][1]["port"] and heard[0][1]["tenant"] and heard[2][1]["limit"] == 200


def test_a_dead_host_has_an_exit_code_of_its_own(house) -> None:
    apply(house, document("Hypervisor", "ctd1", vtep="192.0.2.234"))
    ran = ringfence(house, "flows", "ctd1")
    assert ran.returncode == NOT_REACHED
    assert "Hypervisor ctd1: it has never reported" in ran.stderr and "agent on ctd1" in ran.stderr
    tenant_on(house, "ct-d", 235, "ctd2")
    ran = ringfence(house, "trace", "--from", "ct-d/p", "--to", "10.0.0.7")
    assert ran.returncode == NOT_REACHED and "Hypervisor ctd2" in ran.stdout


@pytest.mark.parametrize("words", [["nohost"], ["nohost", "--port", "x/y"]])
def test_mistakes_about_flows_are_refused_in_words(house, words: list[str]) -> None:
    ran = ringfence(house, "flows", *words)
    assert ran.returncode == REFUSED and "Hypervisor nohost: it does not exist" in ran.stderr


@pytest.mark.parametrize("words", [[], ["h", "--port", "p"], ["h", "--limit", "x"]])
def test_wrong_use_of_flows(house, words: list[str]) -> None:
    assert ringfence(house, "flows", *words).returncode == USAGE


def test_without_permission_for_the_socket(tmp_path: Path) -> None:
    """As somebody in no group of ours: what to do is said."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        ran = subprocess.run(
            [
                *("setpriv", "--bounding-set", "-dac_override,-dac_read_search"),
                *command("trace", "--from", "a/p", "--to", "10.0.0.7", "--api", f"unix:{path}"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
            check=False,
        )
    assert ran.returncode == UNREACHABLE, ran.stderr
    assert "join the group ringfence" in ran.stderr
