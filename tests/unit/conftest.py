"""What tests of several rooms stand on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "ringfence-test", path], check=True, timeout=20)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True, timeout=20)
