"""A VM that does not let go of its VF keeps that VF, and nothing else: neither the host's other gangs, nor a
gang that would get the VF next."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from controller.agent.credence import Credence
from controller.agent.settling import LONGEST_PAUSE, Settler
from ipam.devices.bounded import Bounded
from ipam.devices.kernel import Host
from model.bearing import HostPart, Reached
from model.gang import GangState
from tests.fakes.host import HOST, NICS, driver, mooring, moorings, reacting
from tests.fakes.reacting import Reacting
from tests.fakes.sysfs import Sysfs

S, R = GangState, Reached
AMPLE = 30.0
"""Seconds for what ends by itself, on a machine that is busy with other things."""


@pytest.fixture
def kernel(tmp_path: Path) -> Reacting:
    return reacting(tmp_path / "sys")


def parts(settler: Settler, *gangs: object) -> dict[int, HostPart]:
    return {part.generation: part for part in settler.round(moorings(*gangs)).parts}  # type: ignore[arg-type]


def test_a_vf_that_is_kept_is_not_parked_and_stops_nobody(kernel: Reacting, tmp_path: Path) -> None:
    now = [1000.0]
    settler = Settler(kernel, Credence(HOST, tmp_path / "devices.json"), lambda: now[0])
    parts(settler, mooring(7, S.PROGRAMMED))
    assert parts(settler, mooring(7, S.ACTIVE))[7].reached is R.UP
    address = (kernel.tree.homes[NICS[0]] / "virtfn1").readlink().name
    kernel.keepers.add(address)
    going, coming = mooring(7, S.RELEASING, S.ACTIVE), mooring(8, S.RESERVED, S.PROGRAMMED, vf=2)
    said = parts(settler, going, coming)
    assert said[8].reached is R.SET, "another tenant's gang on this host"
    assert said[7].reached is not R.PARKED
    assert driver(kernel, NICS[0], 1) == "", "sysfs says that it is free"
    assert {fault.rule for fault in said[7].faults} == {"driver-refused"}
    assert "VM" in said[7].faults[0].message + said[7].faults[0].remedy
    # Also for an agent that has begun anew meanwhile, and that did not take it from the VM itself.
    anew = Settler(kernel, Credence(HOST, tmp_path / "devices.json"), lambda: now[0])
    for each in (settler, anew):
        now[0] += 2 * LONGEST_PAUSE
        assert parts(each, going, coming)[7].reached is not R.PARKED
    kernel.keepers.clear()
    kernel.kept.clear()
    now[0] += 2 * LONGEST_PAUSE
    assert parts(settler, going, coming)[7].reached is R.PARKED


def test_what_takes_too_long_is_left_to_a_thread(tmp_path: Path) -> None:
    bounded, over = Bounded(limit=0.05), threading.Event()
    with pytest.raises(OSError, match="still runs") as caught:
        bounded.run("a", lambda: over.wait(60))
    assert caught.value.errno == errno.EBUSY
    bounded.limit = AMPLE
    with pytest.raises(OSError, match="still runs"):
        bounded.run("a", lambda: pytest.fail("a second one at the same device"))
    assert [thread.name for thread in threading.enumerate()].count("device-a") == 1
    assert bounded.run("b", lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        bounded.run("b", lambda: os.stat(tmp_path / "none"))
    over.set()
    bounded.late["a"].join(AMPLE)
    assert bounded.run("a", lambda: 8) == 8
    assert bounded.late == {}


def test_a_file_of_sysfs_that_does_not_answer(tmp_path: Path) -> None:
    """A pipe that nobody empties stands for it."""
    tree = Sysfs(tmp_path)
    home = tree.root / "bus/pci/devices/0000:18:00.2"
    home.mkdir(parents=True)
    os.mkfifo(home / "unbind")
    (home / "driver_override").write_text("vfio-pci\n")
    host = Host(tree.root, Bounded(limit=AMPLE))
    assert host.override("0000:18:00.2") == "vfio-pci"
    host.bounded.limit = 0.05
    with pytest.raises(OSError, match="still runs"):
        host.drive("0000:18:00.2", "bus/pci/devices/0000:18:00.2/unbind", "0000:18:00.2")
    with pytest.raises(OSError, match="still runs"):
        host.override("0000:18:00.2")
    host.bounded.limit = AMPLE
    reader = os.open(home / "unbind", os.O_RDONLY | os.O_NONBLOCK)
    try:
        host.bounded.late["0000:18:00.2"].join(AMPLE)
        assert os.read(reader, 100) == b"0000:18:00.2"
    finally:
        os.close(reader)
    assert host.override("0000:18:00.2") == "vfio-pci"
