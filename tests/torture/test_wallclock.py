"""A skewed process reads another wall clock, at once when it is stepped, and the same monotonic one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from topologies.wallclock import set_offset

_PROBE = """
import sys, time
from pathlib import Path
from topologies.wallclock import set_offset, skew
path, before = Path(sys.argv[1]), time.time()
monotonic = time.monotonic
skew(path)
for seconds in (-7200.0, 0.0, 86400.5):
    set_offset(path, seconds)
    assert abs(time.time() - before - seconds) < 60, seconds
    assert abs(time.time_ns() / 1e9 - before - seconds) < 60, seconds
assert time.monotonic is monotonic
print("skewed")
"""


def test_a_stepped_clock_is_seen_at_once(tmp_path: Path) -> None:
    set_offset(tmp_path / "clock", 5.0)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(tmp_path / "clock")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "skewed\n", done.stderr
