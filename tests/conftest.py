"""What holds for every test: hypothesis profiles, and that what a lab needs is there or the test fails.

Place: read by pytest first. Must not make labs or fakes: those stand beside the tests that use them.
A missing tool or right is a failure with a remedy, never a skip.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

INTEGRATION = Path(__file__).parent / "integration"
GUEST = Path(__file__).parent / "kernel"

LAB_TOOLS = (
    "ethtool",
    "gobgpd",
    "ip",
    "mnexec",
    "nft",
    "ovs-appctl",
    "ovs-ofctl",
    "ovs-vswitchd",
    "ovsdb-server",
    "ping",
    "setpriv",
    "tcpdump",
    "unshare",
    "/usr/lib/frr/bgpd",
    "/usr/lib/frr/zebra",
)

# After `su` without a dash, PATH lacks the folders of ovs-vswitchd and nft; the Makefile does the same.
os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# No deadlines: the machine is shared, and no test asserts on time. The default is the same in every run, so
# that a red run means a change; HYPOTHESIS_PROFILE=explore looks further, with fresh randomness.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under tests/integration bears the marker, whether or not its author thought of it; so do
    the tests that need the guest's kernel."""
    for item in items:
        if INTEGRATION in item.path.parents or GUEST in item.path.parents:
            item.add_marker("integration")
        if GUEST in item.path.parents:
            item.add_marker("guest")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("integration") is None:
        return
    if os.geteuid() != 0:
        pytest.fail("labs need root: run 'sudo make test', or choose others with -m 'not integration'")
    absent = [tool for tool in LAB_TOOLS if shutil.which(tool) is None]
    if absent:
        pytest.fail(f"labs need {', '.join(absent)}: run 'make setup', which installs them")
    if item.get_closest_marker("guest") and not Path("/sys/module/openvswitch").exists():
        pytest.fail("this kernel has no openvswitch.ko: run 'make test-guest PYTEST=...', which boots one")
