"""The protocol: versions, codes, environment, results; and that whatever comes in, JSON goes out."""

from __future__ import annotations

import configparser
import importlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cni.main import respond
from controller.cni.request import COMMANDS, VERSIONS
from tests.fakes.berths import gang, interface
from tests.unit.cni.conftest import Desk

ROOT = Path(__file__).parents[3]
# What must never be loaded: each costs more than all of ours. `ctypes` is loaded when an interface moves.
HEAVY = {"asyncio", "ctypes", "dataclasses", "inspect", "ipaddress", "logging", "pathlib", "pyroute2", "site",
         "socketserver", "subprocess", "tempfile", "threading", "urllib", "yaml"}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_is_answered_in_kind(desk: Desk, version: str) -> None:
    routes = [{"dst": "10.128.0.0/10", "mtu": 4000, "priority": 5}, {"dst": "::/0", "gw": "2001:db8:1::2"}]
    config = {"cniVersion": version, "ipam": desk.config["ipam"] | {"routes": routes, "dns": {"domain": "x"}}}
    code, answer = desk.ask("ADD", "c1", config)
    assert code == 0
    assert answer["cniVersion"] == version
    assert "interfaces" not in answer, "an IPAM plugin has none"
    families = [ip.pop("version", None) for ip in answer["ips"]]
    assert families == (["4", "6"] if version < "1.0.0" else [None, None])
    assert answer["ips"] == [
        {"address": "10.128.0.10/24", "gateway": "10.128.0.1"},
        {"address": "2001:db8:1::10/64", "gateway": "2001:db8:1::1"},
    ]
    more = {"mtu": 4000, "priority": 5} if version == "1.1.0" else {}
    assert answer["routes"] == [
        {"dst": "10.128.0.0/10", "gw": "10.128.0.1", **more},
        {"dst": "::/0", "gw": "2001:db8:1::2"},
    ]
    assert answer["dns"] == {"domain": "x"}


@pytest.mark.parametrize("text", [b"", b"{}", b'{"cniVersion": "0.4.0"}'])
def test_version_is_echoed(text: bytes) -> None:
    code, answer = respond({"CNI_COMMAND": "VERSION"}, text)
    assert code == 0
    assert answer == {
        "cniVersion": "0.4.0" if b"0.4.0" in text else "1.1.0",
        "supportedVersions": list(VERSIONS),
    }


@pytest.mark.parametrize("version", ["0.1.0", "2.0.0", "", None, 7, ["1.0.0"]])
def test_other_versions_are_refused(desk: Desk, version: object) -> None:
    code, answer = desk.ask("ADD", "c1", {"cniVersion": version})
    assert (code, answer["code"], answer["cniVersion"]) == (1, 1, "1.1.0")


@pytest.mark.parametrize(("command", "version"), [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")])
def test_commands_of_later_versions(desk: Desk, command: str, version: str) -> None:
    code, answer = desk.ask(command, "c1", {"cniVersion": version})
    assert (code, answer["code"], answer["cniVersion"]) == (1, 1, version)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CNI_COMMAND", ""),
        ("CNI_COMMAND", "add"),
        ("CNI_CONTAINERID", ""),
        ("CNI_CONTAINERID", "-c"),
        ("CNI_CONTAINERID", "../c"),
        ("CNI_IFNAME", ""),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "a/b"),
        ("CNI_IFNAME", "a b"),
        ("CNI_IFNAME", "sixteen-letters-"),
        ("CNI_IFNAME", "\udcff"),
        ("CNI_NETNS", ""),
        ("CNI_ARGS", "nonsense"),
    ],
)
def test_a_wrong_environment_is_named(desk: Desk, key: str, value: str) -> None:
    environ = desk.environ("ADD", "c1") | {key: value}
    code, answer = respond(environ, json.dumps(desk.config).encode())
    assert (code, answer["code"]) == (1, 4)  # type: ignore[index]
    assert key in answer["msg"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": ""}, 7),
        ({"name": "a/b"}, 7),
        ({"ipam": []}, 7),
        ({"type": "ringfence-cni", "ipam": {"type": "host-local"}}, 2),
        ({"type": "host-device", "ipam": {"type": "host-local"}}, 7),
        ({"ipam": {"type": "ringfence-cni", "tenant": "acme", "berths": "berths.json"}}, 7),
    ],
)
def test_a_wrong_configuration(desk: Desk, change: dict[str, Any], code: int) -> None:
    assert desk.refused("ADD", "c1", change)[0] == code


@pytest.mark.parametrize(
    "routes",
    [
        7,
        [7],
        [{}],
        [{"dst": "10.0.0.0"}],
        [{"dst": "10.0.0.0/33"}],
        [{"dst": "10.0.0.0/8", "gw": "::1"}],
        [{"dst": "10.0.0.0/8", "gw": "x"}],
        [{"dst": "10.0.0.0/8", "mtu": -1}],
        [{"dst": "10.0.0.0/8", "scope": 256}],
    ],
)
def test_wrong_routes_claim_nothing(desk: Desk, routes: object) -> None:
    assert desk.refused("ADD", "c1", {"ipam": desk.config["ipam"] | {"routes": routes}})[0] == 7
    assert desk.held() == []


def test_check_of_an_ipam(desk: Desk) -> None:
    _, answer = desk.ask("ADD")
    assert desk.ask("CHECK", "c1", {"prevResult": answer}) == (0, None)
    assert desk.refused("CHECK", "c1")[0] == 7
    assert desk.refused("CHECK", "c2", {"prevResult": answer})[0] == 100
    lost = answer | {"ips": answer["ips"][:1]}
    code, message = desk.refused("CHECK", "c1", {"prevResult": lost})
    assert (code, "2001:db8:1::10/64" in message) == (100, True)
    desk.write(gang([interface(0)], state="releasing"))
    assert desk.refused("CHECK", "c1", {"prevResult": answer})[0] == 100
    desk.write(gang([interface(0)], generation=8))
    assert desk.refused("CHECK", "c1", {"prevResult": answer}) == (100, "gang train of tenant acme is gone")


def test_status(desk: Desk) -> None:
    assert desk.ask("STATUS") == (0, None)
    desk.given("c1")
    desk.given("c2")
    assert desk.refused("STATUS")[0] == 50
    desk.write(gang([interface(0)], generation=8), gang([interface(1)], name="b", generation=9))
    code, message = desk.refused("STATUS")
    assert (code, "c1 has 0000:18:01.0" in message) == (51, True)


def test_the_installed_script_is_the_entry_point() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = dict(
        line.split(" = ") for line in parser["options.entry_points"]["console_scripts"].strip().splitlines()
    )
    module, _, name = scripts["ringfence-cni"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_it_starts_with_little(desk: Desk) -> None:
    """As installed: isolated, without `site`, and of Python's library only what is small."""
    script = (ROOT / "packaging" / "cni" / "ringfence-cni").read_text(encoding="utf-8")
    assert script.startswith("#!/usr/bin/python3 -IS\n")
    body = script.replace("/opt/ringfence", str(ROOT)).replace("sys.exit(main())", PROBE)
    ran = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", body],
        input=json.dumps(desk.config),
        env=desk.environ("ADD", "c1"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["ips"]
    loaded = set(ran.stderr.split())
    assert {"controller.cni.commands", "socket", "json"} <= loaded
    assert not loaded & HEAVY
    assert {name.partition(".")[0] for name in loaded} & {"model", "ipam", "bgp"} == set()
    assert len(loaded) < 100, sorted(loaded)


PROBE = "code = main(); print(*sys.modules, file=sys.stderr); sys.exit(code)"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "cniVersion", "name", "type", "ipam", "tenant", "gang", "rail", "pf", "vf", "deviceID", "pciBusID",
        "runtimeConfig", "args", "cni", "prevResult", "ips", "routes", "dst", "gw", "dns", "mtu", "guid",
        "cni.dev/valid-attachments", "containerID", "ifname", "interfaces", "address", "infinibandGUID",
        "mac",
        "ips",
    ]
)  # fmt: skip
VALUES = st.one_of(
    JSON,
    st.sampled_from(["acme", "train", "0000:18:01.0", "10.0.0.0/8", "ringfence-cni", "1.1.0", "0.4.0", 0, 1]),
    st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=3), max_size=4),
    st.lists(st.dictionaries(KEYS, JSON, max_size=3), max_size=3),
)
ENVIRON = st.dictionaries(
    st.sampled_from(["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS", "CNI_PATH"]),
    st.one_of(st.text(max_size=30), st.sampled_from(["c1", "net1", "rail=0;vf=1", "/proc/self/ns/net"])),
)


@settings(max_examples=150)
@given(
    command=st.sampled_from([*COMMANDS, "", "WHAT"]),
    environ=ENVIRON,
    config=st.dictionaries(KEYS, VALUES, max_size=5),
    inside=st.dictionaries(KEYS, VALUES, max_size=4),
    delegated=st.booleans(),
    known=st.booleans(),
)
def test_any_configuration_gets_json(
    command: str, environ: dict[str, str], config: Any, inside: Any, delegated: bool, known: bool
) -> None:
    """In process; of what is asked properly, too. 999 would be an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        asked = desk.environ(command, "c1") | environ if known else {"CNI_COMMAND": command} | environ
        paths = {key: desk.config["ipam"][key] for key in ("berths", "dataDir", "sysfs")}
        sound = desk.config["ipam"] | inside | paths if delegated else inside | paths | {"tenant": "acme"}
        shape = (
            {"ipam": sound | {"type": "ringfence-cni"}} if delegated else {"type": "ringfence-cni", **sound}
        )
        text = json.dumps((desk.config if known else {}) | config | shape).encode()
        code, answer = respond(asked, text)
    shown = json.dumps(answer)
    assert code in (0, 1)
    if code:
        assert answer is not None and answer["cniVersion"] in VERSIONS
        assert answer["code"] != 999, shown


@settings(max_examples=100)
@given(environ=ENVIRON, command=st.sampled_from(list(COMMANDS)), text=st.binary(max_size=200) | JSON)
def test_any_bytes_get_json(environ: dict[str, str], command: str, text: Any) -> None:
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    code, answer = respond(environ | {"CNI_COMMAND": command}, raw)
    json.dumps(answer)
    assert code == 0 or (answer is not None and answer["code"] not in (0, 999))


def test_a_process_with_nothing_at_all() -> None:
    """No environment, closed standard input: still JSON, and nothing on standard error."""
    script = (ROOT / "packaging" / "cni" / "ringfence-cni").read_text(encoding="utf-8")
    ran = subprocess.run(
        [
            "/bin/sh",
            "-c",
            'exec "$@" <&-',
            "-",
            "/usr/bin/python3",
            "-IS",
            "-c",
            script.replace("/opt/ringfence", os.fspath(ROOT)),
        ],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert json.loads(ran.stdout)["code"] == 4
