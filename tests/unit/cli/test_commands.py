"""The CLI as people run it: a process with arguments, streams and an exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from controller.cli.commands import (
    BROKEN_PIPE,
    COMMANDS,
    INTERRUPTED,
    NOT_REACHED,
    OK,
    REFUSED,
    UNREACHABLE,
    USAGE,
)
from controller.cli.get import KINDS
from controller.store.writer import clock
from model.ids import HostName, Uid
from model.report import Drift, DriftReceipt, Finding, Mending, Report, State, render
from topologies.deadline import until

ROOT = Path(__file__).parents[3]
AMPLE = 60.0
"""Seconds for what a process does, on a machine that is busy with other things."""
TENANT = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: %s}\n"
PORT = """apiVersion: ringfence/v1
kind: Hypervisor
metadata: {{name: {host}}}
spec: {{vtep: 192.0.2.{octet}}}
---
apiVersion: ringfence/v1
kind: Tenant
metadata: {{name: {tenant}}}
---
apiVersion: ringfence/v1
kind: Network
metadata: {{name: net, tenant: {tenant}}}
spec: {{subnets: [10.0.0.0/24]}}
---
apiVersion: ringfence/v1
kind: Port
metadata: {{name: p, tenant: {tenant}}}
spec: {{network: net, hosts: [{host}]}}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "controller.cli.main", *arguments]


def environment(house=None, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in {"RINGFENCE_API", "NO_COLOR"}}
    own = (
        {"PYTHONPATH": str(ROOT), "RINGFENCE_API": f"unix:{house.socket}"}
        if house
        else {"PYTHONPATH": str(ROOT)}
    )
    return kept | own | more


def ringfence(house, *arguments: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(house, **more),
        check=False,
    )


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help_with_examples(name: str) -> None:
    ran = ringfence(None, name, "--help")
    assert ran.returncode == OK and "example" in ran.stdout and "--output" in ran.stdout
    assert not ran.stderr


def test_the_help_of_all_names_every_command_and_exit_code() -> None:
    ran = ringfence(None, "--help")
    assert ran.returncode == OK
    for name, _, text in COMMANDS:
        assert name in ran.stdout and text in ran.stdout
    assert "exit codes" in ran.stdout and "141" in ran.stdout
    assert ringfence(None, "help").stdout == ran.stdout
    assert ringfence(None, "help", "apply").stdout == ringfence(None, "apply", "--help").stdout


def test_help_imports_nothing_heavy() -> None:
    """What keeps it under 100 ms of CPU."""
    code = (
        "import sys; sys.argv = ['ringfence', '--help']\n"
        "from controller.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=True,
    )
    loaded = set(ran.stderr.replace("'", "").strip("[]\n").split(", "))
    assert "argparse" in loaded
    assert not loaded & {"rich", "yaml", "pydantic", "fastapi", "http", "dataclasses", "ipaddress", "ovs"}


def test_wrong_use_exits_with_2_and_the_nearest_command() -> None:
    ran = ringfence(None, "aply")
    assert ran.returncode == USAGE and 'Did you mean "apply"?' in ran.stderr
    for arguments in (
        [],
        ["apply"],
        ["get"],
        ["apply", "-f", "x", "--timeout", "-1"],
        ["status", "--api", "x"],
    ):
        ran = ringfence(None, *arguments)
        assert ran.returncode == USAGE and ran.stderr and not ran.stdout, arguments


def test_no_api_exits_with_4_and_says_what_to_do(tmp_path: Path) -> None:
    ran = ringfence(None, "status", "--api", f"unix:{tmp_path}/none.sock")
    assert ran.returncode == UNREACHABLE and "ringfenced api" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_apply_plan_get_delete(house, tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.yaml").write_text(TENANT % "cli-a")
    (folder / "deep" / "b.json").write_text(
        json.dumps({"apiVersion": "ringfence/v1", "kind": "Tenant", "metadata": {"name": "cli-b"}})
    )
    (folder / "notes.txt").write_text("not a manifest")
    planned = ringfence(house, "plan", "-f", str(folder))
    assert planned.returncode == OK and "2 to create; nothing was written" in planned.stdout
    assert ringfence(house, "get", "tenant", "cli-a").returncode == REFUSED
    applied = ringfence(house, "apply", "-f", str(folder), "-f", "-", text=TENANT % "cli-c")
    assert applied.returncode == OK and "3 created" in applied.stdout
    assert (
        "3 unchanged" in ringfence(house, "apply", "-f", str(folder), "-f", "-", text=TENANT % "cli-c").stdout
    )
    table = ringfence(house, "get", "TENANTS")
    heads = ["NAME", "L3VNI", "NETWORKS", "EGRESS", "GANGS", "INTERFACES", "LABELS"]
    assert table.returncode == OK and table.stdout.splitlines()[0].split() == heads
    assert "\x1b" not in table.stdout
    one = json.loads(ringfence(house, "get", "tenant", "cli-b", "-o", "json").stdout)
    assert one["metadata"]["name"] == "cli-b"
    many = ringfence(house, "get", "tenants", "-o", "yaml").stdout
    assert {d["metadata"]["name"] for d in yaml.safe_load_all(many)} >= {"cli-a", "cli-b", "cli-c"}
    assert "0 created" not in ringfence(house, "apply", "-f", "-", text=many).stdout
    gone = ringfence(house, "delete", "tenant", "cli-a")
    assert gone.returncode == OK and "deleted" in gone.stdout
    again = ringfence(house, "delete", "tenant", "cli-a")
    assert again.returncode == REFUSED and "[not-found]" in again.stderr
    assert ringfence(house, "delete", "-f", "-", text=TENANT % "cli-c").returncode == OK


def test_a_sticky_port_is_shown_as_such_until_it_is_none(house) -> None:
    text = PORT.format(host="cli-hs", tenant="cli-s", octet=77)
    for spec, shown in (("sticky: true", True), ("rateOut: none", True), ("sticky: false", False)):
        done = ringfence(house, "apply", "-f", "-", text=text.replace("[cli-hs]}", f"[cli-hs], {spec}}}"))
        assert done.returncode == OK, done.stderr
        table = ringfence(house, "get", "port", "p", "--tenant", "cli-s").stdout
        assert (", sticky" in table) is shown
        one = json.loads(ringfence(house, "get", "port", "p", "--tenant", "cli-s", "-o", "json").stdout)
        assert one["spec"].get("sticky", False) is shown


def test_mistakes_are_printed_with_place_rule_and_remedy(house, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((TENANT % "Bad") + "---\n" + (TENANT % "worse_"))
    ran = ringfence(house, "apply", "-f", str(bad))
    assert ran.returncode == REFUSED and not ran.stdout
    assert f'{bad}:3: Tenant Bad metadata.name: "Bad" is no RFC 1123 label [name-rule]' in ran.stderr
    assert '"bad" would do' in ran.stderr and "2 mistakes of 1 kind; nothing was written" in ran.stderr
    ran = ringfence(house, "apply", "-f", str(bad), "-o", "json")
    assert [f["line"] for f in json.loads(ran.stdout)["faults"]] == [3, 7]
    missing = ringfence(house, "apply", "-f", str(tmp_path / "none.yaml"), "-f", str(tmp_path / "nor.yaml"))
    assert missing.returncode == REFUSED and missing.stderr.count("[unreadable]") == 2


def test_wait_exits_with_3_and_names_the_host_that_is_missing(house) -> None:
    text = PORT.format(host="cw1", octet=151, tenant="cli-wait")
    nobody = ringfence(house, "apply", "-f", "-", "--wait", text=text)
    assert nobody.returncode == OK and "no host has bound ports" in nobody.stderr
    uid = json.loads(ringfence(house, "get", "port", "p", "-t", "cli-wait", "-o", "json").stdout)["metadata"][
        "uid"
    ]
    house.store.bind(Uid(uid), HostName("cw1"))
    port = partial(house.api.get, "/v1/ports/p", {"tenant": "cli-wait"})
    until("the API knows of the binding", lambda: port()["status"]["host"] == "cw1", AMPLE)
    change = text.replace("subnets:", "mtu: 1400, subnets:")
    dead = ringfence(house, "apply", "-f", "-", "--wait", "--timeout", "0.2", text=change)
    assert dead.returncode == NOT_REACHED and "not yet on cw1: has never reported" in dead.stderr
    assert "1 changed" in dead.stdout
    generation = house.store.generation()
    process = subprocess.Popen(
        command("apply", "-f", "-", "--wait", "-o", "json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(house),
    )
    assert process.stdin
    process.stdin.write(change.replace("1400", "1300"))
    process.stdin.close()
    process.stdin = None
    until("the command has written", lambda: house.store.generation() > generation, AMPLE)
    # Ahead, so that it is not taken for dead before a command on a busy machine has read it.
    report = Report("cw1", clock() + 600_000, generation + 1, State.IN_SYNC)
    house.store.put_report(HostName("cw1"), render(report), clock())
    answer = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == OK and answer["concerned"] == ["cw1"] and answer["pending"] == []


def test_status_and_brakes(house) -> None:
    ringfence(house, "apply", "-f", "-", text=PORT.format(host="cb1", octet=152, tenant="cli-brake"))
    assert "cb1" in ringfence(house, "status").stdout
    assert json.loads(ringfence(house, "status", "-o", "json").stdout)["cluster"]["asn"] == 65000
    for arguments in (["freeze", "cb1"], ["unfreeze", "cb1"], ["confirm", "cb1"]):
        assert ringfence(house, *arguments).returncode == OK
    assert ringfence(house, "freeze", "nobody").returncode == REFUSED
    assert ringfence(house, "switchover", "nobody").returncode == REFUSED
    assert "no partner" in ringfence(house, "switchover", "cb1").stderr


def test_drift_lists_receipts_and_counts(house) -> None:
    receipt = DriftReceipt(1_767_225_600_007, Finding.ORPHAN, Mending.DELETED, "port a/p: \x1b[2Jx", 5, 500)
    report = Report("cd1", clock(), 1, State.IN_SYNC, drift=Drift(1, 2, 3, 4, 5), receipts=(receipt,))
    house.store.put_report(HostName("cd1"), render(report), clock())
    done = ringfence(house, "drift", "--host", "cd1")
    assert done.returncode == OK, done.stderr
    counts, _, receipts = done.stdout.partition("\n\n")
    assert counts.splitlines()[-1].split() == ["cd1", "5", "1", "2", "3", "4"]
    row = receipts.splitlines()[-1]
    assert row.split()[:6] == ["2026-01-01", "00:00:00.007", "cd1", "orphan", "deleted", "5"]
    assert row.endswith("port a/p: \\x1b[2Jx"), "nothing may steer the terminal"
    value = json.loads(ringfence(house, "drift", "--host", "cd1", "-o", "json").stdout)
    (item,) = value["items"]
    assert (item["packets"], item["octets"], item["atMs"]) == (5, 500, receipt.at_ms)
    assert value["counts"][0]["alien"] == 4
    (document,) = yaml.safe_load_all(ringfence(house, "drift", "--host", "cd1", "-o", "yaml").stdout)
    assert document == item
    nobody = ringfence(house, "drift", "--host", "cd-none")
    assert nobody.returncode == REFUSED and "never reported" in nobody.stderr


def test_drift_without_receipts_says_so(house) -> None:
    report = Report("cd2", clock(), 1, State.IN_SYNC)
    house.store.put_report(HostName("cd2"), render(report), clock())
    done = ringfence(house, "drift", "--host", "cd2")
    assert done.returncode == OK and "no receipts" in done.stderr


def test_a_reader_that_goes_away_is_no_error(house) -> None:
    process = subprocess.Popen(
        command("get", "tenants", "-o", "json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(house),
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(60) == BROKEN_PIPE and errors == b""


def test_ctrl_c_exits_with_130_and_no_traceback(house) -> None:
    # What runs in the background of a script ignores the signal, and children inherit that.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command("apply", "-f", "-")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(house),
    )
    assert process.stdin and process.stderr
    # It reads standard input once it is up; the pipe is full only then, so a write that ends has been read.
    process.stdin.write(b"#" * (1 << 18))
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == INTERRUPTED and errors == b"interrupted\n"


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_tables_have_colours_on_a_terminal_only_unless_refused(
    house, more: dict[str, str], coloured: bool
) -> None:
    ringfence(house, "apply", "-f", "-", text=PORT.format(host="ct1", octet=153, tenant="cli-tty"))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("status"), stdout=slave, stderr=slave, env=environment(house, TERM="xterm-256color", **more)
    )
    os.close(slave)
    seen = b""
    try:
        while part := os.read(master, 65536):
            seen += part
    except OSError:
        pass  # Linux reports the end of a terminal so
    os.close(master)
    assert process.wait(60) == OK
    assert b"ct1" in seen and b"silent" in seen
    assert (b"\x1b[31m" in seen) is coloured


def test_every_kind_of_the_examples_is_listed_in_every_form(house) -> None:
    """And what `get -o yaml` prints applies again and changes nothing."""
    examples = Path(__file__).parents[3] / "examples"
    assert ringfence(house, "apply", "-f", str(examples)).returncode == OK
    try:
        for kind in KINDS:
            table = ringfence(house, "get", kind)
            assert table.returncode == OK and len(table.stdout.splitlines()) > 1, kind
            items = json.loads(ringfence(house, "get", kind, "-o", "json").stdout)["items"]
            assert len(items) == len(table.stdout.splitlines()) - 1
            text = ringfence(house, "get", kind, "-o", "yaml").stdout
            again = ringfence(house, "apply", "-f", "-", text=text)
            assert again.returncode == OK and "created" not in again.stdout + again.stderr, kind
            assert "changed" not in again.stdout.replace("unchanged", ""), again.stdout
        shown = ringfence(house, "get", "peerings", "-t", "acme").stdout
        assert "globex" in shown and "complete" in shown
        shown = ringfence(house, "get", "securitypolicies").stdout
        assert "web" in shown and "deny (count)" in shown
        shown = ringfence(house, "get", "operatorpolicy", "no-mail").stdout
        assert "baseline" in shown and "count" in shown
        assert "snat 203.0.113.129" in ringfence(house, "get", "tenant", "acme").stdout
    finally:
        assert ringfence(house, "delete", "-f", str(examples)).returncode == OK
