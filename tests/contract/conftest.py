"""Fixtures of the contract tests: a real Open vSwitch for all, and an own one for a test that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from pipelines.groups import GROUPS
from tests.contract.ovs import PrivateOvs

HERE = Path(__file__).parent
PORTS = (("p1", 1), ("p2", 2), ("p3", 3), ("p4", 4))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need root and a real switch, like labs do."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("integration")


@pytest.fixture(scope="session")
def shared_ovs() -> Iterator[PrivateOvs]:
    ovs = PrivateOvs()
    try:
        ovs.start()
        ovs.lay_bridge(*PORTS)
        yield ovs
    finally:
        ovs.stop()


@pytest.fixture
def ovs(shared_ovs: PrivateOvs) -> PrivateOvs:
    """The shared switch, without flows."""
    shared_ovs.ofctl("del-flows")
    return shared_ovs


@pytest.fixture(scope="module")
def holding_ovs() -> Iterator[PrivateOvs]:
    """A switch for one file: fragments that its conntrack holds come out with other packets, later."""
    ovs = PrivateOvs()
    try:
        ovs.start()
        ovs.lay_bridge(*PORTS)
        yield ovs
    finally:
        ovs.stop()


@pytest.fixture
def own_ovs() -> Iterator[PrivateOvs]:
    """A switch that a test may kill; no bridge yet."""
    ovs = PrivateOvs()
    try:
        ovs.start()
        yield ovs
    finally:
        ovs.stop()


@pytest.fixture
def channel(ovs: PrivateOvs) -> Iterator[Channel]:
    channel = Channel(ovs.management, Encoder(), standing=GROUPS)
    yield channel
    channel.close()
