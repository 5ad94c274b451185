"""NOTIFICATION codes in words."""

from __future__ import annotations

import pytest

from bgp.speaker.notices import explain


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("notification sent (2,2)", ("the speaker ended", "2/2", "OPEN refused", "bad peer AS")),
        ("notification received (6,5)", ("the peer ended", "6/5", "cease", "connection rejected")),
        ("notification received (4,0)", ("the peer ended", "4/0", "hold timer expired")),
        ("notification received (99,7)", ("the peer ended", "99/7", "no RFC")),
        ("peer reset, message [notification received (6,3)] error[x]", ("6/3", "taken out")),
    ],
)
def test_who_said_what_and_what_it_means(said: str, words: tuple[str, ...]) -> None:
    assert not [word for word in words if word not in explain(said)]


@pytest.mark.parametrize("said", ["", "killed", "hold timer", "notification received (2)", "(2,2)"])
def test_what_is_no_notification_stays(said: str) -> None:
    assert explain(said) == said
