"""`ringfence policy status` and `promote` as people run them, against the real API and a real store."""

from __future__ import annotations

import json

import pytest

from controller.cli.commands import OK, REFUSED, USAGE
from tests.unit.api.house import House
from tests.unit.api.test_promotion import CLOSED, INSIDE, SAMPLE, TELNET, Stage
from tests.unit.cli.test_commands import ringfence


def test_from_counting_to_enforcing(house: House, remote: str) -> None:
    stage = Stage(house, remote, "cli", 248, rules=[INSIDE, TELNET], defaults=CLOSED)
    stage.watched(30.5, (1, 4))
    shown = ringfence(house, "policy", "status", "web", "-t", "cli", "-v").stdout
    (telnet,) = (
        line for line in shown.splitlines() if line.startswith("cli") and " deny in " in line and "(" in line
    )
    assert "2 (telnet)" in telnet and "2 of 2" in telnet and "30.5" in telnet and "4 at 1" in telnet
    assert SAMPLE in shown and "cli/web default in" in shown
    words = ("policy", "promote", "web", "-t", "cli", "--default", "in", "--hours", "24")
    ran = ringfence(house, *words)
    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert "[promotion-hits]" in ran.stderr and f"cli/a 4 ({SAMPLE})" in ran.stderr
    ran = ringfence(house, *words, "--accept-hits", "--dry-run")
    assert ran.returncode == OK and "would be enforced: the default of cli/web" in ran.stdout
    ran = ringfence(house, *words, "--accept-hits", "4", "--share", "100", "--wait")
    assert ran.returncode == OK
    assert "enforced: rule 2 (telnet) of cli/web, which would change what is dropped" in ran.stdout
    assert "no host has bound ports of it yet" in ran.stderr
    assert "count" not in json.dumps(stage.spec())


def test_status_of_all_as_json(house: House, remote: str) -> None:
    Stage(house, remote, "clj", 252, rules=[TELNET])
    items = json.loads(ringfence(house, "policy", "status", "-o", "json").stdout)["items"]
    assert [item["rule"] for item in items if item["tenant"] == "clj"] == [1]
    ran = ringfence(house, "policy", "status", "wbe", "-t", "clj")
    assert ran.returncode == REFUSED and "web" in ran.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hours", "4"), "name a policy"),
        (("web",), "--hours"),
        (("web", "--hours", "4", "--accept-hits", "some"), "--accept-hits is a number"),
        (("web", "--hours", "4", "--default", "up"), "--default"),
    ],
)
def test_wrong_use(words: tuple[str, ...], said: str) -> None:
    ran = ringfence(None, "policy", "promote", *words)
    assert ran.returncode == USAGE and said in ran.stderr and "Traceback" not in ran.stderr
