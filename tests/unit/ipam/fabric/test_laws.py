"""Settings of OpenSM: what it begins with by itself is refused, what we ship wants keys only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ipam.fabric.laws import LAWS, faults, settings

SHIPPED = Path(__file__).parents[4] / "packaging" / "opensm" / "opensm.conf"
FILE = "/etc/opensm/partitions.conf"
KEYS = {"m_key", "sm_key", "sa_key"}


def good() -> dict[str, str]:
    return {**settings(SHIPPED.read_text("utf-8")), **dict.fromkeys(KEYS, "0x1f2e3d4c5b6a7988")}


def wrong(said: dict[str, str]) -> set[str]:
    return {fault.path for fault in faults(said, FILE)}


def test_what_we_ship_lacks_the_keys_and_nothing_else() -> None:
    assert {f.path for f in faults(settings(SHIPPED.read_text("utf-8")), FILE)} == KEYS
    assert faults(good(), FILE) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m_key", "0x0000000000000000"),
        ("m_key", "secret"),
        ("m_key_protection_level", "0"),
        ("m_key_lease_period", "0"),
        ("sm_key", "1"),
        ("part_enforce", "off"),
        ("part_enforce", "in"),
        ("no_partition_enforcement", "TRUE"),
        ("allow_both_pkeys", "TRUE"),
        ("console", "socket"),
        ("console", "loopback"),
        ("partition_config_file", "/tmp/partitions.conf"),
    ],
)
def test_each_law_bites(name: str, value: str) -> None:
    assert wrong({**good(), name: value}) == {name}


def test_no_fault_tells_a_key() -> None:
    told = faults({**dict.fromkeys((name for name, *_ in LAWS), "0x1"), "m_key": "0xZZsecret"}, FILE)
    assert told
    assert not [f for f in told if "secret" in f.message + f.remedy]


def test_the_defaults_are_those_of_opensm(tmp_path: Path) -> None:
    """As it writes them itself; every setting that we name or ship exists, but for NVIDIA's."""
    path = tmp_path / "opensm.conf"
    command = ["opensm", "-c", str(path), "-f", str(tmp_path / "log")]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        timeout=30,
        env={**os.environ, "OSM_TMP_DIR": f"{tmp_path}/"},
    )
    usual = settings(path.read_text("utf-8"))
    assert {name for name, *_ in LAWS} | set(settings(SHIPPED.read_text("utf-8"))) <= set(usual)
    assert wrong({}) == wrong(dict(usual))
    assert wrong({}) == KEYS | {"m_key_protection_level", "m_key_lease_period"}
