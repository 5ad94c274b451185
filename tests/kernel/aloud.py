"""A pytest plugin: each failure is told when it happens, with the end of its labs' logs.

Place: `-p tests.kernel.aloud` in the guest. Pytest itself tells at the end, and a guest that is cut off by
its deadline has no end.
"""

from __future__ import annotations

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        print(f"\n{report.longreprtext}", flush=True)
        for title, text in report.sections:
            print(f"--- {title}\n{text}", flush=True)
