"""The import contracts bite: a copy of the house with one trespass for each contract breaks each of them.

`make lint` shows that the real tree keeps them; a contract that nothing can break would pass there too.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.tree import PACKAGES, ROOT

# contract -> (a new module, what it imports though it must not)
TRESPASSES = {
    "house": ("bgp/trespass_house.py", "pipelines"),
    "topologies": ("controller/trespass_labs.py", "topologies"),
    "os_ken": ("controller/southbound/trespass_os_ken.py", "os_ken"),
    "ovs": ("pipelines/trespass_ovs.py", "ovs"),
    "pyroute2": ("ipam/trespass_pyroute2.py", "pyroute2"),
    "exabgp": ("bgp/trespass_exabgp.py", "exabgp"),
    "sqlalchemy": ("accounting/trespass_sqlalchemy.py", "sqlalchemy"),
    "alembic": ("accounting/trespass_alembic.py", "alembic"),
    "pyarrow": ("accounting/trespass_pyarrow.py", "pyarrow"),
    "matplotlib": ("controller/trespass_matplotlib.py", "matplotlib"),
    "h11": ("accounting/trespass_h11.py", "h11"),
    "pydhcp": ("ipam/trespass_pydhcp.py", "pydhcp"),
    "dns": ("bgp/trespass_dns.py", "dns"),
    "web": ("accounting/trespass_web.py", "pydantic"),
    "mininet": ("bgp/trespass_mininet.py", "mininet"),
    "pure": ("model/trespass_pure.py", "socket"),
}


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the packages with every trespass in it."""
    copy = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", copy)
    for name, foreign in TRESPASSES.values():
        (copy / name).write_text(f'"""A trespass."""\n\nimport {foreign}\n', encoding="utf-8")
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [lint, "--no-logo", "--no-cache"],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(copy), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout


def _names() -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    prefix = "importlinter:contract:"
    return {s.removeprefix(prefix): parser[s]["name"] for s in parser.sections() if s.startswith(prefix)}


def test_each_contract_has_its_trespass() -> None:
    assert set(_names()) == set(TRESPASSES)


@pytest.mark.parametrize("contract", TRESPASSES)
def test_the_contract_bites(contract: str, verdict: str) -> None:
    assert f"{_names()[contract]} BROKEN" in " ".join(verdict.split())
