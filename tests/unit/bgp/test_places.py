"""The speaker's directory: a password lies in it, and ExaBGP runs what its configuration there says."""

from __future__ import annotations

import stat

import pytest

from bgp.speaker import places
from model.errors import Unavailable


def test_a_directory_is_made_or_taken_and_closed_to_others(tmp_path):
    directory = tmp_path / "deep" / "speaker"
    places.prepare(directory)
    directory.chmod(0o755)
    places.prepare(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_link_that_lies_in_its_place_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (tmp_path / "speaker").symlink_to(elsewhere)
    with pytest.raises(Unavailable):
        places.prepare(tmp_path / "speaker")
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


def test_a_directory_of_somebody_else_is_not_taken(tmp_path, monkeypatch):
    directory = tmp_path / "speaker"
    places.prepare(directory)
    monkeypatch.setattr(places.os, "geteuid", lambda: 12345)
    with pytest.raises(Unavailable):
        places.prepare(directory)
