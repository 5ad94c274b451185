"""`ringfenced api`: what its flags become, and which of them can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.api.settings import Uploads
from controller.daemon import api
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Papers
from model.intent import Guard, Policy


def settings(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    found: list[Any] = []
    monkeypatch.setattr(api, "serve", found.append)
    assert api.run(words) == 0
    return found[0]


def test_flags_become_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).policy == Policy()
    words = ("--guard", "count", "--peer-routes", "9", "--tenant-routes", "8", "--mac-moves", "0")
    assert settings(monkeypatch, *words, "--mac-window", "60").policy == Policy(Guard.COUNT, 9, 8, 0, 60)


@pytest.mark.parametrize("words", [("--guard", "off"), ("--mac-moves", "-1"), ("--peer-routes", "many")])
def test_what_is_no_policy_is_refused(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        settings(monkeypatch, *words)


def test_intervals_are_kept_for_ever_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).keep_days is None
    assert settings(monkeypatch, "--keep-intervals", "90").keep_days == 90
    for wrong in ("1", "-3", "x"):
        with pytest.raises(SystemExit):
            settings(monkeypatch, "--keep-intervals", wrong)


def test_uploads_need_a_place_and_papers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settings(monkeypatch).uploads is None
    files = ("--uploads-cert", "c", "--uploads-key", "k", "--uploads-ca", "a")
    found = settings(monkeypatch, "--uploads", "tls:[::]:6650", *files, "--uploads-crl", "r").uploads
    assert found == Uploads(Endpoint("::", 6650), Papers(Path("c"), Path("k"), Path("a"), Path("r")))
    assert settings(monkeypatch, "--uploads", "tls:0.0.0.0:6650", *files).uploads.papers.revoked is None
    for words in (
        ("--uploads", "tls:0.0.0.0:6650"),
        ("--uploads", "tls:0.0.0.0:6650", *files[:4]),
        ("--uploads", "tls:api.example:6650", *files),
        ("--uploads", "tcp:0.0.0.0:6650", *files),
        ("--uploads", "tls:0.0.0.0", *files),
        files,
        ("--uploads-crl", "r"),
    ):
        with pytest.raises(SystemExit):
            settings(monkeypatch, *words)
        assert "--uploads" in capsys.readouterr().err
