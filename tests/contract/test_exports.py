"""Exports before those that they are for: libvirt's schema, cloud-init's schema and renderers, udev's parser.

Those programs are Debian 13's, unpacked below .cache by `make setup-all`; nothing of them is installed.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.meta.tree import ROOT
from tests.singular import RUN

pytestmark = pytest.mark.long

PROGRAMS = ROOT / ".cache" / "oracles" / "root"
GOLDEN = ROOT / "tests" / "unit" / "ipam" / "exports" / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir())
DOMAIN = """<domain type='kvm'><name>check</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
{}</domain>
"""
RENDER = """
import json, sys, yaml
from cloudinit.net import eni, netplan, networkd
from cloudinit.net.network_state import parse_net_config_data
state = parse_net_config_data(yaml.safe_load(sys.stdin)["network"])
print(json.dumps({
    "netplan": netplan.Renderer({})._render_content(state),
    "networkd": networkd.Renderer({})._render_content(state),
    "eni": eni.Renderer({})._render_interfaces(state),
}))
"""


def run(*command: str, text: str) -> subprocess.CompletedProcess[str]:
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    return subprocess.run(
        ["/usr/sbin/chroot", PROGRAMS, *command],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"},
    )


def check(text: str, *command: str, ending: str) -> subprocess.CompletedProcess[str]:
    """`{}` in the command: the file."""
    path = PROGRAMS / "tmp" / f"exports-check-{RUN}{ending}"
    path.write_text(text, encoding="utf-8")
    try:
        return run(*(word.format(f"/tmp/{path.name}") for word in command), text="")
    finally:
        path.unlink()


def validate(text: str) -> subprocess.CompletedProcess[str]:
    return check(DOMAIN.format(text), "virt-xml-validate", "{}", "domain", ending=".xml")


def schema(text: str) -> subprocess.CompletedProcess[str]:
    return check(text, "cloud-init", "schema", "-t", "network-config", "-c", "{}", ending=".yaml")


def rules(text: str) -> str:
    marked = "#   ACTION=="
    lines = [line for line in text.splitlines() if line.startswith(marked)]
    return "".join(line.removeprefix("#   ") + "\n" for line in lines)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".xml")])
def test_libvirt_takes_it_in_a_domain(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    ran = validate(text)
    assert ran.returncode == 0, ran.stderr
    assert validate(text.replace("slot='0x00'", "slot='0x99'")).returncode != 0, "it sees an address"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".yaml")])
def test_cloud_init_takes_it(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    ran = schema(text)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert schema(text.replace("mtu: 4200", "mtu: wide")).returncode != 0, "it sees a field"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".yaml")])
def test_cloud_init_hands_everything_to_netplan_networkd_and_ifupdown(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    wanted: dict[str, Any] = yaml.safe_load(text)["network"]
    ran = run("python3", "-c", RENDER, text=text)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(ran.stdout)
    assert yaml.safe_load(made["netplan"])["network"]["ethernets"] == wanted["ethernets"]
    assert set(made["networkd"]) == set(wanted["ethernets"])
    for link, said in wanted["ethernets"].items():
        unit = made["networkd"][link].splitlines()
        assert f"MTUBytes={said['mtu']}" in unit
        assert "IPv6AcceptRA=False" in unit
        assert [line[8:] for line in unit if line.startswith("Address=")] == said["addresses"]
        routes = said.get("routes", [])
        assert [line[8:] for line in unit if line.startswith("Gateway=")] == [r["via"] for r in routes]
        assert [line[12:] for line in unit if line.startswith("Destination=")] == [r["to"] for r in routes]
        if "match" in said:
            assert f"MACAddress={said['match']['macaddress']}" in unit
        assert f"Name={link}" in unit
        assert f"auto {link}" in made["eni"]
        assert all(f"address {address}" in made["eni"] for address in said["addresses"])


def test_udev_takes_the_rules_that_name_ipoib() -> None:
    text = rules((GOLDEN / "infiniband.cloud-init.yaml").read_text(encoding="utf-8"))
    assert text.count("\n") == 4
    ran = check(text, "udevadm", "verify", "{}", ending=".rules")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert check(text.replace("ATTR{", "ATTRR{"), "udevadm", "verify", "{}", ending=".rules").returncode != 0
