"""Chain: an export of which no line is changed, left out, exchanged or added without being found out. Pure.

Place: written by `ringfence egress export --format chain`, read by `ringfence egress verify`. Must not decide
what a row says.

    {"line":N,"before":"<hash of line N-1>","kind":"header|row|footer","body":{...},"hash":"<its own>"}

A line's hash is the SHA-256 (FIPS 180-4) of its bytes up to `,"hash"`. Line 0 is the header; its `before` is
the last hash of the file that this one goes on from, or zeros. The footer has the number of rows and the sums
of those of their fields that the header names under `sums`.

There is no key in it: who can write the file can write all of it anew. What can't be written anew is the last
hash, once it stands elsewhere: in the next month's file, with the customer, on paper.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum
from typing import Any, Final

FORM: Final = "ringfence-egress-chain/1"
NOTHING: Final = "0" * 64
"""In place of the hash before the first line of all."""
LONGEST: Final = 1 << 20
"""Bytes of a line at most."""
_EXACT: Final = Context(prec=120, traps=[Inexact, InvalidOperation])
"""Sums of a hundred digits: what would not be exact raises."""
_LINE: Final = re.compile(
    rb'(\{"line":(0|[1-9]\d{0,17}),"before":"([0-9a-f]{64})","kind":"(header|row|footer)",'
    rb'"body":(\{.*\})),"hash":"([0-9a-f]{64})"\}\n',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: the next line's number, and the hash of the line before it."""

    number: int
    before: str


def link(at: Link, kind: str, body: Mapping[str, Any]) -> tuple[Link, bytes]:
    """The line (with its end) and where the chain stands after it. Decimals and integers stay exact."""
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"), default=_plain)
    front = f'{{"line":{at.number},"before":"{at.before}","kind":"{kind}","body":{text}'.encode("ascii")
    own = hashlib.sha256(front).hexdigest()
    return Link(at.number + 1, own), front + f',"hash":"{own}"}}\n'.encode("ascii")


def _plain(value: object) -> str:
    """A decimal is a text in JSON: no reader then makes a binary fraction of it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} has no place in a chain")


@dataclass(slots=True)
class Writing:
    """One file from its header to its footer. `sums`: the fields of rows that the footer adds up."""

    at: Link
    sums: dict[str, Decimal] = field(default_factory=dict)
    rows: int = 0

    def open(self, body: Mapping[str, Any], sums: Iterable[str]) -> bytes:
        self.sums = {name: Decimal(0) for name in sums}
        return self._line("header", {"form": FORM, **body, "sums": [*self.sums]})

    def row(self, body: Mapping[str, Any]) -> bytes:
        self.rows += 1
        _add(self.sums, body)
        return self._line("row", body)

    def close(self, body: Mapping[str, Any]) -> bytes:
        return self._line("footer", {"rows": self.rows, "sums": _shown(self.sums), **body})

    def _line(self, kind: str, body: Mapping[str, Any]) -> bytes:
        self.at, line = link(self.at, kind, body)
        return line


def _add(sums: dict[str, Decimal], row: Mapping[str, Any]) -> None:
    for name, total in sums.items():
        if row.get(name) is not None:
            sums[name] = _EXACT.add(total, _EXACT.create_decimal(row[name]))


def _shown(sums: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{total:f}" for name, total in sums.items()}


class Flaw(Enum):
    CHANGED = "changed"
    MISSING = "missing"
    MOVED = "moved"
    ADDED = "added"
    TRUNCATED = "truncated"
    SUMS = "sums"
    BEGIN = "begin"


@dataclass(frozen=True, slots=True)
class Finding:
    """`line`: of the file, from 1 on, as editors count."""

    line: int
    flaw: Flaw
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` empty: the file is as it was written. It goes on from hash `first` and ends with `last`."""

    findings: tuple[Finding, ...]
    header: Mapping[str, Any] | None
    footer: Mapping[str, Any] | None
    rows: int
    first: str
    last: str


@dataclass(slots=True)
class Reading:
    """One reading of a file, line by line. `take` each line with its end, then `verdict`."""

    lines: int = 0
    next: int = 0
    before: frozenset[bytes] | None = None
    missing: dict[int, tuple[int, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    header: Mapping[str, Any] | None = None
    footer: Mapping[str, Any] | None = None
    rows: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    first: str = ""
    last: str = ""

    def take(self, line: bytes) -> Mapping[str, Any] | None:
        """Judge a line; the body of a row that is unchanged and in its place, else None."""
        self.lines += 1
        found = _LINE.fullmatch(line)
        if found is None:
            self._broken(line)
            return None
        front, raw, before, kind, body, said = found.groups()
        number, own = int(raw), hashlib.sha256(front).hexdigest().encode()
        if own != said:
            self._find(Flaw.CHANGED, f"line {number} of the chain is not what its hash says")
            self._step(number, frozenset((own, said)))
            return None
        if not self._follows(number, before, own):
            return None
        return self._keep(kind.decode(), body, before.decode(), own.decode())

    def verdict(self) -> Verdict:
        """When the file is at its end."""
        for begin, (end, at) in sorted(self.missing.items()):
            some = f"line {begin}" if begin == end else f"lines {begin} to {end}"
            self.findings.append(
                Finding(at, Flaw.MISSING, f"{some} of the chain should stand before this line")
            )
        if self.footer is None:
            self.findings.append(Finding(self.lines + 1, Flaw.TRUNCATED, "the file ends before its footer"))
        elif not self.findings:
            self._compare(self.footer)
        ordered = tuple(sorted(self.findings, key=lambda f: (f.line, f.flaw.value)))
        return Verdict(ordered, self.header, self.footer, self.rows, self.first, self.last)

    def _broken(self, line: bytes) -> None:
        if not line.endswith(b"\n") and len(line) < LONGEST:
            self._find(Flaw.TRUNCATED, "the file ends within this line")
        else:
            self._find(Flaw.CHANGED, "this is no line of a chain")
        self._step(self.next, None)

    def _follows(self, number: int, before: bytes, own: bytes) -> bool:
        """Does this line, whole in itself, stand where it belongs?"""
        if self.footer is not None:
            self._find(Flaw.ADDED, "it stands behind the footer")
            return False
        if number < self.next:
            if self._was_missing(number):
                self._find(Flaw.MOVED, f"line {number} of the chain stands behind line {self.next - 1}")
            else:
                self._find(
                    Flaw.ADDED, f"there is a line {number} of the chain already: one does not belong here"
                )
                if number == self.next - 1 and self.before is not None:
                    self.before |= {own}
            return False
        if number > self.next:
            self.missing[self.next] = (number - 1, self.lines)
        elif number and self.before is not None and before not in self.before:
            self._find(Flaw.CHANGED, f"line {number} of the chain does not follow the line before it")
        self._step(number, frozenset((own,)))
        return True

    def _step(self, number: int, hashes: frozenset[bytes] | None) -> None:
        if number >= self.next:
            self.next, self.before = number + 1, hashes

    def _was_missing(self, number: int) -> bool:
        for begin, (end, at) in self.missing.items():
            if begin <= number <= end:
                del self.missing[begin]
                if begin < number:
                    self.missing[begin] = (number - 1, at)
                if number < end:
                    self.missing[number + 1] = (end, at)
                return True
        return False

    def _keep(self, kind: str, body: bytes, before: str, own: str) -> Mapping[str, Any] | None:
        try:
            value: Mapping[str, Any] = json.loads(body)
        except ValueError:
            self._find(Flaw.CHANGED, "what it holds is no JSON")
            return None
        if (kind == "header") != (self.header is None and self.next == 1):
            self._find(Flaw.CHANGED, "the header is the first line, and no other")
        elif kind == "header":
            self.header, self.first = value, before
            if value.get("form") != FORM:
                self._find(Flaw.CHANGED, f"its form is {value.get('form')!a}, known is {FORM}")
            self.sums = {str(name): Decimal(0) for name in value.get("sums", ())}
        elif kind == "footer":
            self.footer, self.last = value, own
        else:
            self.rows += 1
            self._add(value)
            return value
        return None

    def _add(self, row: Mapping[str, Any]) -> None:
        try:
            _add(self.sums, row)
        except (ArithmeticError, TypeError, ValueError):
            self._find(Flaw.CHANGED, f"of {', '.join(self.sums)} one is no number")

    def _compare(self, footer: Mapping[str, Any]) -> None:
        if footer.get("rows") != self.rows:
            self._find(Flaw.SUMS, f"the footer says {footer.get('rows')} rows, the file has {self.rows}")
        said, sums = footer.get("sums"), _shown(self.sums)
        if said != sums:
            self._find(Flaw.SUMS, f"the footer says {said}, the rows add up to {sums}")

    def _find(self, flaw: Flaw, message: str) -> None:
        self.findings.append(Finding(self.lines, flaw, message))


def verify(lines: Iterable[bytes], after: str | None = None) -> Verdict:
    """Judge a whole file. `after`: the hash that it has to go on from, None: any."""
    reading = Reading()
    for line in lines:
        reading.take(line)
    found = reading.verdict()
    if after is None or found.header is None or found.first == after:
        return found
    message = f"it goes on from {found.first}, not from {after}"
    return Verdict(
        (Finding(1, Flaw.BEGIN, message), *found.findings),
        found.header, found.footer, found.rows, found.first, found.last,
    )  # fmt: skip
