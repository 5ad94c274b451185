"""The `ringfenced` command around a process: what its end looks like to who started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECONDS = 60.0
FAILING_THREAD = """
import threading
def run(argv):
    threading.Thread(target=lambda: {}["gone"], name="ear").start()
    threading.Event().wait()
"""
REFUSING = """
from model.errors import Fault, Unavailable
def run(argv):
    raise Unavailable(Fault("journal /j", "journal-unusable", "it is in use", "Stop the other agent."))
"""
CURIOUS = """
import sys
def run(argv):
    import ovs.poller, os_ken.lib.hub
    print([name for name, module in sys.modules.items() if name.startswith("eventlet") and module])
    return 0
"""


def outcome(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "sample.py").write_text(text)
    start = "from controller.daemon import main; main.PROCESSES = (('agent', 'sample', ''),); "
    return subprocess.run(
        [sys.executable, "-c", start + "raise SystemExit(main.main(['agent']))"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_process_whose_thread_failed_ends_and_says_which(tmp_path: Path) -> None:
    done = outcome(tmp_path, FAILING_THREAD)
    assert done.returncode == 70
    assert "thread ear failed" in done.stderr
    assert "KeyError: 'gone'" in done.stderr


def test_a_process_that_cannot_begin_says_why_in_one_line(tmp_path: Path) -> None:
    done = outcome(tmp_path, REFUSING)
    assert done.returncode == 1
    assert done.stderr.endswith("journal /j: it is in use. Stop the other agent.\n")
    assert "Traceback" not in done.stderr


def test_libraries_load_no_framework_that_nothing_here_uses(tmp_path: Path) -> None:
    done = outcome(tmp_path, CURIOUS)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
