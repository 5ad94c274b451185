"""Every file: opens with its purpose, stays readable in length, names no machine and no index of packages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.meta.tree import PACKAGES, ROOT, files, python, shown

MOST_LINES = 400

# Written so that they do not match themselves.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.$}])/(?:root|home|work|Users)/\w"),
    "a temporary path of somebody's session": re.compile(r"/tmp/(?:w|bash_jobs)\b"),
    "a folder of local packages": re.compile(r"/opt/(?:wheels|pypi)\b"),
    "an index of packages": re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|deb\.debian\.org|snapshot\.debian\.org|npmjs\.(?:org|com)"
        r"|proxy\.golang\.org|crates\.io|pkg\.dev)\b"
    ),
    "a credential in an address": re.compile(r"://[^\s/@:'\"<>{}]+:[^\s/@'\"<>{}]+@"),
}


@pytest.mark.parametrize("path", python(*PACKAGES, "tests"), ids=shown)
def test_opens_with_its_purpose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    purpose = ast.get_docstring(ast.parse(text))
    assert purpose, f"{shown(path)}: no module docstring; say its purpose, its place and what it must not do"
    assert len(purpose.split()) >= 4, f"{shown(path)}: '{purpose}' says nothing"


@pytest.mark.parametrize("path", python(*PACKAGES), ids=shown)
def test_is_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{shown(path)}: {lines} lines, the limit is {MOST_LINES}; split it by noun"


@pytest.mark.parametrize("meaning", FORBIDDEN)
def test_names_no_machine(meaning: str) -> None:
    pattern = FORBIDDEN[meaning]
    found = [
        f"{shown(path)}:{number}: {match.group()}"
        for path in files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert not found, f"{meaning}: " + "; ".join(found)


@pytest.mark.parametrize(
    ("meaning", "line"),
    [
        ("a path of somebody's machine", "see /ho" + "me/ann/x"),
        ("a temporary path of somebody's session", "/tmp/" + "w/x"),
        ("a folder of local packages", "--find-links /opt/" + "wheels"),
        ("an index of packages", "https://py" + "pi.org/simple"),
        ("a credential in an address", "https://ann" + ":secret@example.net/"),
    ],
)
def test_the_patterns_bite(meaning: str, line: str) -> None:
    assert FORBIDDEN[meaning].search(line)


def test_sees_the_tree() -> None:
    """The other tests of this file would pass on an empty list."""
    seen = {shown(path) for path in files()}
    assert {"setup.cfg", ".ci/run", "model/flow.py", "scripts/setup.sh"} <= seen
    assert not [name for name in seen if name.startswith((".venv/", ".git/", ".cache/"))]
    assert all((ROOT / package / "__init__.py").is_file() for package in PACKAGES)
