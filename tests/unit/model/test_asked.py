"""What hosts tell of questions: there and back, bounded, and nothing that does not fit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from model.asked import MOST_PORTS, MOST_WORDS, NOTHING, Asked, parse
from model.report import Report, State, refresh, render
from model.report import parse as parse_report

ASKED = Asked((("answered", 3), ("malformed", 1)), (("uid-1", (("answered", 3),)), ("uid-2", ())))


def test_a_report_carries_it_and_its_head_the_totals() -> None:
    report = Report("hv1", 1, 1, State.IN_SYNC, asked=ASKED)
    assert parse_report(render(report)) == report
    newer = replace(report, asked=Asked((("answered", 4),)))
    assert refresh(report, newer).asked == Asked((("answered", 4),), ASKED.ports)
    plain = json.loads(render(report))
    del plain["asked"]
    assert parse_report(json.dumps(plain)).asked == NOTHING, "of an agent of before"


def test_of_one_port() -> None:
    assert ASKED.of("uid-1") == (("answered", 3),) and ASKED.of("uid-9") == ()


def test_what_is_too_long_is_cut() -> None:
    many = [[chr(97 + n % 26) * (1 + n // 26), n] for n in range(100)]
    found = parse({"totals": many, "ports": [["u", many]] * (MOST_PORTS + 5)})
    assert len(found.totals) == MOST_WORDS and len(found.ports) == MOST_PORTS
    assert len(found.ports[0][1]) == MOST_WORDS


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"totals": {}},
        {"totals": [["answered"]]},
        {"totals": [["answered", -1]]},
        {"totals": [["answered", True]]},
        {"totals": [['x"} 1\n', 1]]},
        {"ports": [[7, []]]},
        {"ports": [["u", 7]]},
    ],
)
def test_what_does_not_fit_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        parse(value)
