"""`python -m tests.kernel`: the integration tests again, on the kernel data path, in one guest.

Place: run by `make test-guest`. Builds no lab itself: it boots a guest with openvswitch.ko over this
machine's own files and runs pytest there, once, with its output passed on. Exit codes: pytest's own (in the
guest), or 2 if the guest did not boot or was not done in time, 130 interrupted. `--chosen` runs what
`make test-all` wants of it; other arguments go to pytest in place of the suite.
"""

from __future__ import annotations

import shutil
import signal
import sys
from types import FrameType

from tests.kernel.guest import ROOT, Job, run
from tests.kernel.suite import CHOSEN, SHARED, arguments
from topologies.datapath import VARIABLE, Datapath
from topologies.errors import LabError

RESULTS = ROOT / ".cache" / "guest" / "results"
JUNIT = ROOT / ".cache" / "junit-guest.xml"
DEADLINE = 14_400.0
"""Seconds for everything: on a slow machine about one and a half times of what it takes."""
CHOICE = "--chosen"
FAILED, INTERRUPTED = 2, 130


def main() -> int:
    """Run the suite, or what the arguments name."""
    signal.signal(signal.SIGTERM, _interrupt)
    words = list(CHOSEN) if sys.argv[1:] == [CHOICE] else sys.argv[1:] or arguments()
    job = Job(
        # -p no:cacheprovider: what it would write is gone with the guest
        (sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "tests.kernel.aloud",
         "-p", "tests.kernel.order", "--junitxml=/mnt/results/junit.xml",
         *words),
        {VARIABLE: Datapath.KERNEL.value, SHARED: "yes", "PYTHONUNBUFFERED": "1", "COLUMNS": "110"},
        RESULTS,
        DEADLINE,
    )  # fmt: skip
    try:
        code = run(job)
    except LabError as error:
        print(f"guest: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("guest: interrupted, and ended", file=sys.stderr)
        return INTERRUPTED
    junit = RESULTS / "junit.xml"
    if junit.exists():
        shutil.copyfile(junit, JUNIT)
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
