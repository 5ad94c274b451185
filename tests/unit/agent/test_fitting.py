"""Fitting: what does not fit below is named, with the device and the remedy; and when it is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from controller.agent import fitting as module
from controller.agent.fitting import Fitting, Load, misfits
from controller.agent.reach import load
from model.addresses import Address
from model.errors import Fault, Unavailable
from model.underlay import Way, default_mtu
from pipelines.index import build
from tests.fakes import world

FOUR, SIX = ip_address("192.0.2.2"), ip_address("2001:db8::2")
NETWORKS = ((1500, "acme/large"), (1450, "acme/plain"))


def test_what_fits_is_no_alarm() -> None:
    assert misfits(NETWORKS, (Way(FOUR, "eth0", 1550), Way(SIX, "eth1", 1570))) == ()
    assert misfits((), (Way(FOUR, "eth0", 68),)) == ()
    assert misfits(NETWORKS, ()) == ()


def test_ipv6_needs_more_room_and_the_device_is_named() -> None:
    (said,) = misfits(NETWORKS[1:], (Way(FOUR, "eth0", 1500), Way(SIX, "eth1", 1519)))
    for word in (
        "eth1",
        "1519",
        "2001:db8::2",
        "IPv6 adds 70",
        "acme/plain (MTU 1450)",
        "MTU of 1520",
        "1449",
    ):
        assert word in said
    assert "eth0" not in said


def test_a_device_is_named_once_by_its_narrowest_way() -> None:
    (said,) = misfits(NETWORKS, (Way(FOUR, "eth0", 1540), Way(ip_address("192.0.2.3"), "eth0", 1400)))
    assert "1400 octets to 192.0.2.3" in said and "acme/large (MTU 1500), acme/plain (MTU 1450)" in said


def test_the_load_is_all_vteps_and_the_largest_networks_here() -> None:
    snapshot = world.narrowed()
    found = load(snapshot, build(snapshot))
    assert [str(vtep) for vtep in found.vteps] == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    assert found.networks == ((1450, "t2/n5"), (1450, "t1/n1"), (1400, "t1/n2"))


def test_it_looks_again_when_a_vtep_comes_and_survives_a_kernel_that_refuses() -> None:
    asked: list[tuple[Address, ...]] = []

    def observe(vteps: tuple[Address, ...]) -> tuple[Way, ...]:
        asked.append(vteps)
        if len(asked) == 1:
            raise Unavailable(Fault("underlay", "routes-unavailable", "no", "wait"))
        return tuple(Way(vtep, "eth0", 1400) for vtep in vteps)

    fitting = Fitting(observe, lambda devices: dict.fromkeys(devices, 1400))
    fitting.want(Load((FOUR,), NETWORKS))
    fitting.start()
    try:
        _until(lambda: len(asked) == 1)
        fitting.want(Load((FOUR, SIX), NETWORKS))
        _until(lambda: fitting.least() > 0)
        assert asked == [(FOUR,), (FOUR, SIX)]
        assert fitting.least() == 1400
        assert len(fitting.alarms()) == 1
        fitting.want(Load((FOUR, SIX)))
        assert fitting.alarms() == ()
    finally:
        fitting.stop()


def test_it_looks_again_when_a_device_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GLANCE", 0.01)
    mtu = [1500]
    fitting = Fitting(
        lambda vteps: tuple(Way(vtep, "eth0", mtu[0]) for vtep in vteps),
        lambda devices: dict.fromkeys(devices, mtu[0]),
    )
    fitting.want(Load((FOUR,), NETWORKS[1:]))
    fitting.start()
    try:
        _until(lambda: fitting.least() == 1500)
        assert fitting.alarms() == ()
        mtu[0] = 1400
        _until(lambda: fitting.least() == 1400)
        assert "eth0 passes 1400" in fitting.alarms()[0]
    finally:
        fitting.stop()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_default_mtu_follows_family_and_reports() -> None:
    assert default_mtu((), 0) == default_mtu((FOUR,), 0) == 1450
    assert default_mtu((FOUR, SIX), 0) == 1430
    assert default_mtu((FOUR,), 1400) == 1350
    assert default_mtu((FOUR,), 9000) == 1450, "the next host may have less"
    assert default_mtu((FOUR,), 600) == 1280, "no host makes a network that can't carry IPv6"
