"""What comes by itself comes late: `pytest -p tests.late` finds tests that take a cache for the store.

Place: a plugin for finding racing tests, loaded by hand (CONTRIBUTING.md); no test needs it. Must not change
what arrives nor its order, only when. A test that fails with it, and passes without, fails one day on a busy
machine too: it has to wait for what it asserts (`topologies.deadline.until`).

`RINGFENCE_LATE`: seconds, 0.3 unless told.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

LATE = float(os.environ.get("RINGFENCE_LATE", "0.3"))


def pytest_configure() -> None:
    """What tells of others' writes: the store's cache, an agent's watches of it, and of its switch."""
    from controller.southbound.ovsdb.database import SwitchDatabase
    from controller.store.cache import Cache
    from controller.store.moorings import Lookout
    from controller.store.watch import Watch

    late = ((Cache, "_publish"), (Watch, "_hear"), (Lookout, "_hear"), (SwitchDatabase, "_say"))
    for where, name in late:
        setattr(where, name, _late(getattr(where, name)))


def _late(told: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(told)
    def later(*args: Any) -> Any:
        time.sleep(LATE)
        return told(*args)

    return later
