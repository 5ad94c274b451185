"""Chain files: read and judged line by line, whatever their size.

Place: under `ringfence egress export` and `verify`. Must not believe a file that has a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from accounting.chain import LONGEST, Reading, Verdict
from accounting.statement import Paid, paid
from controller.cli.client import Refused, Wrong
from model.errors import Fault


def judge(path: str) -> Verdict:
    """What is to be said of the whole file. Wrong: it can't be read."""
    reading = Reading()
    for line in lines_of(path):
        reading.take(line)
    return reading.verdict()


def last_of(path: str) -> str:
    """The hash that the next file goes on from. Refused: this one is not as it was written."""
    found = judge(path)
    _believe(path, found)
    return found.last


def earlier(paths: list[str], query: Mapping[str, Any], currency: str) -> tuple[Paid, list[str]]:
    """What these files billed, all of them for `query`, and their last hashes. Refused.

    The first is an export, each other one a correction of all before it.
    """
    lasts: list[str] = []

    def rows() -> Iterator[Mapping[str, Any]]:
        for path in paths:
            reading = Reading()
            for line in lines_of(path):
                body = reading.take(line)
                if body is not None:
                    yield body
            found = reading.verdict()
            _believe(path, found)
            _fits(path, found.header or {}, query, currency, lasts)
            lasts.append(found.last)

    try:
        return paid(rows()), lasts
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise _refused(paths[len(lasts)], "export-rows", "its rows are no charges", "name exports") from None


def lines_of(path: str) -> Iterator[bytes]:
    """With their ends; a line that is too long comes in pieces."""
    try:
        with open(path, "rb") as file:
            while line := file.readline(LONGEST):
                yield line
    except OSError as error:
        raise Wrong(f"{path} can't be read: {error.strerror}") from None


def _believe(path: str, found: Verdict) -> None:
    if found.findings:
        first = found.findings[0]
        message = f"line {first.line}: {first.flaw.value}: {first.message}"
        raise _refused(path, "chain-broken", message, f"ringfence egress verify {path}")


def _fits(
    path: str, header: Mapping[str, Any], query: Mapping[str, Any], currency: str, lasts: list[str]
) -> None:
    said = {**header.get("query", {}), "currency": header.get("prices", {}).get("currency")}
    for name, value in {**query, "currency": currency}.items():
        if said.get(name) != value:
            message = f"its {name} is {said.get(name)!a}, here it is {value!a}"
            raise _refused(
                path, "export-query", message, "correct an export with the query that it was made with"
            )
    if header.get("corrects", []) != lasts:
        message = "it does not correct just the files before it"
        remedy = "name the first export, then each correction of it, in the order in which they were made"
        raise _refused(path, "export-order", message, remedy)


def _refused(path: str, rule: str, message: str, remedy: str) -> Refused:
    return Refused(422, [asdict(Fault("export", rule, message, remedy, "", path))])
