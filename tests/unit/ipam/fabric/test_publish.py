"""The partitions file on disk: replaced whole, or left as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ipam.fabric import publish as module
from ipam.fabric.grammar import PartitionsError, render
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.publish import observe, publish
from model.fabric import Guid, PKey

OLD = Partitions((), (Partition(PKey(0x10), (Guid(0x0200000000000001),)),))
NEW = Partitions((), (Partition(PKey(0x11), (Guid(0x0200000000000003),)),))


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "partitions.conf"
    assert observe(path) is None
    for wanted in (OLD, NEW):
        publish(path, wanted)
        assert observe(path) == wanted
        assert path.read_text("ascii") == render(wanted)
    assert [each.name for each in tmp_path.iterdir()] == ["partitions.conf"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


@pytest.mark.parametrize("content", [b"", b"\xff", b"Default=0x7fff:ALL=full;\n", render(OLD).encode()[:-3]])
def test_what_is_not_ours_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "partitions.conf"
    path.write_bytes(content)
    assert observe(path) is None


def test_what_cant_be_said_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "partitions.conf"
    publish(path, OLD)
    wrong = Partitions((), (Partition(PKey(0x7FFF), (Guid(0x0200000000000003),)),))
    with pytest.raises(PartitionsError):
        publish(path, wrong)
    with pytest.raises(PartitionsError):
        publish(path, Partitions((), (Partition(PKey(0x10)),)))
    assert observe(path) == OLD


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_failure_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At each step before the new name; what is left of the attempt is no hindrance to the next."""
    path = tmp_path / "partitions.conf"
    publish(path, OLD)

    def broken(*_: object) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(*((Path, "replace", broken) if step == "replace" else (module.os, step, broken)))
        with pytest.raises(OSError, match="no space"):
            publish(path, NEW)
    assert observe(path) == OLD
    publish(path, NEW)
    assert observe(path) == NEW


def test_a_link_beside_it_is_not_followed(tmp_path: Path) -> None:
    path, precious = tmp_path / "partitions.conf", tmp_path / "precious"
    precious.write_text("mine")
    os.symlink(precious, tmp_path / "partitions.conf.new")
    publish(path, NEW)
    assert precious.read_text() == "mine"
    assert observe(path) == NEW
    assert not path.is_symlink()
