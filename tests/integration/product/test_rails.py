"""`ringfence lab up rails`: gangs of two tenants from request to ACTIVE and back, on simulated InfiniBand.

Who finds a way to whom is asked of the subnet manager (saquery), partition keys of the ports (smpquery).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.cli.client import Api
from controller.cli.main import main
from ipam.devices import reading
from ipam.devices.desired import LINK_AUTO, LINK_DISABLE, Setting
from model.fabric import parse_guid
from model.hardware import parse_pci
from tests.singular import RUN
from topologies import directory
from topologies.bearer import BERTHS
from topologies.deadline import until
from topologies.fabrics import Plan
from topologies.lab import say_on_stderr
from topologies.process import Daemon
from topologies.remote import Remote
from topologies.scenarios import rails
from topologies.scenarios.rails import BEARER, DRIVER, JOB, KERNEL, MANAGER, RAILS, TENANTS, Rails

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
NICS = tuple(parse_pci(f"0000:{bus:02x}:00.0") for bus in (0x18, 0x40, 0x4F, 0x5E, 0x9A, 0xC0, 0xCE, 0xDC))
BARE = (0x7FFF, *[0] * 63)
TIMEOUT = 40


@pytest.fixture(scope="module")
def lab() -> Iterator[Rails]:
    with rails.build(f"rails-{RUN}", Plan(3), say_on_stderr) as made:
        yield made
        print(made.lab.logs())


def states(lab: Rails) -> dict[str, str]:
    """Tenant -> state of its gang."""
    items = Api(f"unix:{lab.control.api_socket}").get("/v1/gangs")["items"]
    return {item["metadata"]["tenant"]: item["status"]["state"] for item in items}


def ports(lab: Rails, tenant: str) -> list[int]:
    """Port GUIDs that the store gave its gang, node by node, rail by rail."""
    done = lab.control.run("gang", "get", JOB, "--tenant", tenant, "-o", "json")
    assert done.ok, done.stderr
    berths = json.loads(done.stdout)["status"]["nodes"]
    return [parse_guid(interface["portGuid"]) for berth in berths for interface in berth["interfaces"]]


def matrix(lab: Rails, guids: list[int], at: str = "sm0") -> set[tuple[int, int]]:
    """Pairs of which the first finds a way to the second."""
    return {(a, b) for a in guids for b in guids if a != b and lab.resolves(a, b, at)}


def audit(lab: Rails) -> None:
    """Store, hosts and fabric say the same of each VF, and no tenant has what is another's. Hosts tell of
    their hardware now and then only."""
    until("the audit is clean", lambda: lab.control.run("ipam", "audit").ok, TIMEOUT)


def vf(lab: Rails, host: str, number: int) -> list[tuple[object, object]]:
    """Driver and link of a VF on each of a host's NICs that has one, as its kernel says."""
    pfs = [reading.observe(lab.nics(host), nic) for nic in NICS]
    found = [one for pf in pfs if pf is not None and (one := pf.vf(number)) is not None]
    return [(one.settings[Setting.DRIVER], one.settings[Setting.LINK]) for one in found]


def kill_and_start(*daemons: Daemon) -> None:
    for daemon in daemons:
        daemon.kill()
    for daemon in daemons:
        daemon.start()


def check_apart(lab: Rails, own: dict[str, list[int]]) -> dict[str, list[int]]:
    """Each finds its own tenant's ports and nobody else's; gives some ports of each tenant."""
    # A port of each tenant on each of its nodes, on two rails; acme's and umbra's meet on the NICs of gpu2.
    some = {tenant: [own[tenant][n] for n in (0, RAILS, RAILS + 7)] for tenant in TENANTS}
    reached = matrix(lab, some["acme"] + some["umbra"])
    assert reached == {(a, b) for guids in some.values() for a in guids for b in guids if a != b}
    # What who is inside is told. hv1 has a port of acme's, hv3 one of umbra's.
    (one, two, _), (three, four, _) = some["acme"], some["umbra"]
    assert lab.resolves(one, two, "hv1") and lab.resolves(four, three, "hv3")
    assert not lab.resolves(one, three, "hv1") and not lab.resolves(four, one, "hv3")
    assert not lab.resolves(three, four, "hv1") and not lab.resolves(one, two, "hv3")
    for key, tenant in ((0x8001, "acme"), (0x8002, "umbra")):
        assert {lab.table(guid)[:3] for guid in own[tenant]} == {(key, 0x7FFF, 0)}
    idle = lab.adapter("gpu3", 0, 1).guid
    assert lab.table(idle) == BARE and not lab.resolves(idle, one)
    return some


@pytest.mark.long
def test_from_request_to_active_and_back_though_everything_is_killed_on_the_way(lab: Rails) -> None:
    """The devices of one host stand still at first, so that nothing is done before all others were killed."""
    driver, manager = lab.fabric.daemons[DRIVER], lab.fabric.daemons[MANAGER]
    slow, other = lab.hosts["hv2"].daemons[BEARER], lab.hosts["hv3"].daemons[BEARER]
    slow.freeze()
    for tenant in TENANTS:
        done = lab.control.run("gang", "request", "-f", str(lab.request(tenant)))
        assert done.ok, done.stderr
    own = {tenant: ports(lab, tenant) for tenant in TENANTS}
    assert [len(own[tenant]) for tenant in TENANTS] == [2 * RAILS] * 2
    until("its ports have joined", lambda: lab.table(own["acme"][0])[1] == 0x7FFF, TIMEOUT)
    kill_and_start(driver, manager, other)
    ready = [("mlx5_core", LINK_DISABLE)] * RAILS
    until("hv1 is ready", lambda: vf(lab, "hv1", 0) == ready, TIMEOUT)
    assert states(lab) == dict.fromkeys(TENANTS, "reserved"), "hv2 has said nothing"
    kill_and_start(slow)
    until("both are active", lambda: states(lab) == dict.fromkeys(TENANTS, "active"), TIMEOUT)

    some = check_apart(lab, own)
    (one, _, _), (three, four, _) = some["acme"], some["umbra"]
    for number in (0, 1):
        assert vf(lab, "hv2", number) == [("mlx5_core", LINK_AUTO)] * RAILS
    berths = json.loads((lab.hosts["hv2"].directory / BERTHS).read_text())
    assert {gang["tenant"]: {i["vf"] for i in gang["interfaces"]} for gang in berths["gangs"]} == {
        "acme": {0},
        "umbra": {1},
    }
    audit(lab)
    power = lab.hosts["hv1"].daemons
    power[BEARER].freeze()
    kill_and_start(power[KERNEL])
    assert vf(lab, "hv1", 0) == [], "it lost power: there are no VFs"
    power[BEARER].thaw()
    up = [("mlx5_core", LINK_AUTO)] * RAILS
    until("its VFs are set again", lambda: vf(lab, "hv1", 0) == up, TIMEOUT)
    assert states(lab) == dict.fromkeys(TENANTS, "active")

    slow.freeze()
    assert lab.control.run("gang", "release", JOB, "--tenant", "acme").ok
    until("its ports have left", lambda: lab.table(one) == BARE, TIMEOUT)
    kill_and_start(driver, manager)
    assert states(lab) == {"acme": "releasing", "umbra": "active"}, "hv2 has not parked its VFs"
    kill_and_start(slow)
    until("acme's is gone", lambda: states(lab) == {"umbra": "active"}, TIMEOUT)
    assert {lab.table(guid) for guid in own["acme"]} == {BARE}
    assert matrix(lab, some["acme"] + [three, four]) == {(three, four), (four, three)}
    parked = [("", LINK_DISABLE)] * RAILS
    assert vf(lab, "hv1", 0) == vf(lab, "hv2", 0) == parked
    assert vf(lab, "hv2", 1) == [("mlx5_core", LINK_AUTO)] * RAILS, "umbra's stay, on the same NICs"

    dead = [lab.hosts["hv3"].daemons[name] for name in (KERNEL, BEARER)]
    for daemon in dead:
        daemon.kill()
    release = ("gang", "release", JOB, "--tenant", "umbra")
    assert not lab.control.run(*release, "--wait", "--timeout", "2").ok, "it waits for a dead server"
    assert states(lab) == {"umbra": "releasing"}
    # Nobody may vouch for a host that still speaks; it counts as silent after a while.
    until("vouched", lambda: lab.control.run(*release, "--without", "gpu3").ok, TIMEOUT)
    until("all are gone", lambda: not states(lab), TIMEOUT)
    for daemon in dead:
        daemon.start()
    assert {lab.table(each.guid) for each in lab.adapters} == {BARE}
    audit(lab)


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A base directory of this test alone."""
    place = Path(f"/run/rf-test-{RUN}-rails")
    monkeypatch.setenv(directory.BASE_VARIABLE, str(place))
    yield place
    for name, lives in directory.names():
        if lives:
            Remote(name).down()
        directory.clear(name)


Shell = Callable[[str], tuple[int, str]]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A line of what the lab advises, as somebody types it: its exit code, and what it prints."""

    def run(line: str) -> tuple[int, str]:
        words = shlex.split(line)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
            return 0, ""
        assert words[0] == "ringfence", line
        if words[1] == "lab":
            command = [sys.executable, "-m", "controller.cli.main", *words[1:]]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout
        with contextlib.redirect_stdout(io.StringIO()) as out:
            return main(words[1:]), out.getvalue()

    return run


def test_the_walk_that_the_lab_advises_and_nothing_left_of_a_crash(base: Path, shell: Shell) -> None:
    up = subprocess.run(
        [sys.executable, "-m", "topologies", "up", "rails", "--hypervisors", "3"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    lines = re.findall(r"(?m)^  ((?:export|ringfence) .*)$", up.stdout)
    down, walk = lines.pop(), []
    for line in lines:
        if line == "ringfence ipam audit":
            # Hosts tell of their hardware every two seconds only.
            until("the audit is clean", lambda: shell("ringfence ipam audit")[0] == 0, TIMEOUT)
        walk.append((line, *shell(line)))
    assert [(line, out) for line, code, out in walk if code] == []

    def said(words: str) -> list[str]:
        return [out for line, _, out in walk if words in line]

    assert said("gang get")[0].count(" active ") == 2
    assert ["PathRecord dump" in out for out in said("saquery")] == [True, False, True, False]
    assert ["0x8001 0x7fff 0x0000" in out for out in said("smpquery")] == [True, False]
    assert "0x7fff 0x0000 0x0000" in said("smpquery")[1]
    assert json.loads(said("cat")[0])["gangs"][0]["tenant"] == "acme"
    assert "train" not in shell("ringfence gang get")[1]
    until("the audit is clean again", lambda: shell("ringfence ipam audit")[0] == 0, TIMEOUT)

    os.kill(Remote("rails").status()["holder"], signal.SIGKILL)
    until("its processes are gone", lambda: not named(base), TIMEOUT)
    assert shell(down)[0] == 0
    assert not base.exists()


def named(base: Path) -> list[str]:
    """Processes whose command line names the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(base) in command:
                found.append(command)
    return found
