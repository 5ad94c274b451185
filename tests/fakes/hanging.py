"""Programs that hang: the time that one is given begins when it hangs, however late a busy machine starts it.

Place: under tests of what ends programs. Must not be used for programs that end by themselves, nor for those
that write more than a pipe holds before they hang.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from topologies.deadline import until

_AMPLE = 60.0


def install(patch: pytest.MonkeyPatch, hangs: Callable[[], bool]) -> None:
    """`hangs`: whether the program has come so far."""

    class Late(subprocess.Popen[bytes]):
        def communicate(
            self,
            input: bytes | None = None,
            timeout: float | None = None,
        ) -> tuple[bytes, bytes]:
            until("the program hangs", hangs, _AMPLE)
            return super().communicate(input, timeout)

    patch.setattr(subprocess, "Popen", Late)
