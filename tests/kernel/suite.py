"""Which tests run in the guest, on the kernel data path: all of tests/integration but what is listed here.

Place: read by `python -m tests.kernel` and held together by a meta test. A file is left out for a reason that
has to do with the data path, never because it fails there.
"""

from __future__ import annotations

EVERYTHING = ("tests/kernel", "tests/integration")

LEFT_OUT: tuple[tuple[str, str], ...] = (
    (
        "tests/integration/evpn",
        "BGP sessions, codec and guard, without a switch: no packet takes another way",
    ),
    (
        "tests/integration/topologies/test_frr.py",
        "two FRR hosts on the kernel's own VXLAN, in either run",
    ),
    (
        "tests/integration/topologies/test_lifetime.py",
        "how labs begin and end, killed at any moment: what it would show is the guest's process table",
    ),
    (
        "tests/integration/product/test_bad_input.py",
        "hostile bytes for processes: store, API, agent and speaker, in front of any data path",
    ),
)


def arguments() -> list[str]:
    """For pytest: folders, what to ignore in them, and no test that is marked long."""
    return [*EVERYTHING, "-m", "not long", *(f"--ignore={path}" for path, _ in LEFT_OUT)]
