"""A pytest plugin: files that want the same lab run one after another, in the order of `suite.TOGETHER`.

Place: `-p tests.kernel.order` in the guest, where files share labs (RINGFENCE_LAB_SHARED) since building one
takes minutes there. Must not drop a test.
"""

from __future__ import annotations

import pytest

from tests.kernel.suite import TOGETHER

_PLACES = {path: place for place, path in enumerate(path for group in TOGETHER for path in group)}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those that are not listed come first."""
    items.sort(key=lambda item: _PLACES.get(item.path.relative_to(config.rootpath).as_posix(), -1))
