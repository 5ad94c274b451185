"""setup.cfg, the lock file and the list of Debian packages agree, and each entry has its reason."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import tomllib

import pytest

from tests.meta.tree import PACKAGES, ROOT

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;#]+)")
BUILD = {"setuptools", "wheel"}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(lines: list[str]) -> dict[str, str]:
    return {_canonical(m["name"]): m["version"] for line in lines if (m := PIN.match(line.strip()))}


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _declared() -> dict[str, str]:
    setup = _setup()
    blocks = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    return _pins([line for block in blocks for line in block.splitlines()])


def test_the_metadata_asks_for_what_the_requirements_ask() -> None:
    asked = _pins(_lines("requirements.in"))
    assert len(asked) > 15
    assert _declared() == {name: version for name, version in asked.items() if name not in BUILD}


def test_the_lock_has_each_requirement_with_hashes() -> None:
    locked = _pins(_lines("requirements.txt"))
    asked = _pins(_lines("requirements.in"))
    assert asked.items() <= locked.items()
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert len(entries) == len(locked)
    assert not [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert "://" not in text, "the lock file names no index"


def test_what_is_installed_is_what_is_locked() -> None:
    wrong = {
        name: f"{importlib.metadata.version(name)} installed, {version} locked"
        for name, version in _pins(_lines("requirements.txt")).items()
        if importlib.metadata.version(name) != version
    }
    assert not wrong, f"{wrong}: run 'make setup'"


@pytest.mark.parametrize("name", ["requirements.in", "scripts/packages.txt"])
def test_each_request_has_its_reason(name: str) -> None:
    requests = [line for line in _lines(name) if line.strip() and not line.startswith("#")]
    assert requests
    assert not [line for line in requests if not re.search(r"\s#\s+\S.{5,}", line)]


def test_pyproject_has_no_metadata() -> None:
    """A [project] beside setup.cfg's metadata would silently win."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(settings) == {"build-system", "tool"}
    assert set(settings["tool"]) == {"ruff"}


def test_every_package_is_installed_and_linted() -> None:
    setup = _setup()
    found = set(setup["options.packages.find"]["include"].split())
    assert found == {name for package in PACKAGES for name in (package, f"{package}.*")}
    assert set(setup["importlinter"]["root_packages"].split()) == set(PACKAGES)


@pytest.mark.parametrize("command", ["ringfence", "ringfenced"])
def test_the_commands_exist(command: str) -> None:
    scripts = {entry.name: entry for entry in importlib.metadata.entry_points(group="console_scripts")}
    assert callable(scripts[command].load())
