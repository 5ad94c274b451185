"""The socket: mode, stale ones, foreign files, other servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from controller.api.listener import listen
from model.errors import Conflict, Invalid


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "api.sock"
    first = listen(path, "no-such-group")
    assert path.stat().st_mode & 0o777 == 0o660
    with pytest.raises(Conflict) as caught:
        listen(path, "no-such-group")
    assert caught.value.faults[0].rule == "already-running"
    first.close()
    second = listen(path, "no-such-group")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
    second.close()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")
    with pytest.raises(Invalid):
        listen(path, "no-such-group")
    assert path.read_text() == "precious"
    with pytest.raises(Invalid):
        listen(tmp_path / ("x" * 200), "no-such-group")
