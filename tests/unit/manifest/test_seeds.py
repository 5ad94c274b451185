"""Keys and user data as they are written: what is one, what is not, and how much there may be."""

from __future__ import annotations

import base64
import json

import pytest

from controller.manifest.manifest import Source, parse
from model.seed import KEY_KINDS, LONGEST_DATA, LONGEST_KEY, is_key
from model.wanted import WantedPort, WantedSeed


def key(
    kind: str = "ssh-ed25519", inner: str = "", body: bytes = b"x" * 32, comment: str = " me@here"
) -> str:
    name = (inner or kind).encode()
    raw = len(name).to_bytes(4, "big") + name + body
    return f"{kind} {base64.b64encode(raw).decode()}{comment}"


def read(**spec: object) -> tuple[WantedSeed | None, list[tuple[str, str]]]:
    document = {
        "apiVersion": "ringfence/v1",
        "kind": "Port",
        "metadata": {"name": "p", "tenant": "t"},
        "spec": {"network": "n", **spec},
    }
    manifest = parse([Source("x", json.dumps(document))])
    seeds = [wanted.seed for wanted in manifest.wanted if isinstance(wanted, WantedPort)]
    return (seeds[0] if seeds else None), [(fault.rule, fault.path) for fault in manifest.faults]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_each_kind_of_key_is_read_with_and_without_a_comment(kind: str) -> None:
    assert is_key(key(kind)) and is_key(key(kind, comment=""))
    assert read(publicKeys=[f" {key(kind)}\n"]) == (WantedSeed(keys=(key(kind),)), [])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        key("ssh-dss"),
        key(inner="ssh-rsa"),
        key(body=b""),
        key().replace(" me@here", "") + "!",
        f'command="reboot" {key()}',
        f"{key()}\n{key()}",
        key(comment=" \x1b[2J"),
        key(comment=" " + "c" * LONGEST_KEY),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_is_no_key_is_refused_by_its_place(line: str) -> None:
    assert not is_key(line)
    assert read(publicKeys=[key(), line])[1] == [("public-key-rule", "spec.publicKeys[1]")]


def test_a_private_key_is_named_as_one_and_not_shown() -> None:
    document = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"
    text = json.dumps({"publicKeys": [document], "network": "n"})
    text = (
        f'{{"apiVersion":"ringfence/v1","kind":"Port","metadata":{{"name":"p","tenant":"t"}},"spec":{text}}}'
    )
    (fault,) = parse([Source("x", text)]).faults
    assert "private key" in fault.message and "c2VjcmV0" not in fault.message + fault.remedy


def test_user_data_are_text_of_so_many_octets() -> None:
    exact = "é" * (LONGEST_DATA // 2)
    assert read(userData=exact) == (WantedSeed(data=exact), [])
    assert read(userData="") == (WantedSeed(data=""), [])
    for bad in (exact + "x", "a\0b"):
        assert read(userData=bad)[1] == [("user-data-size", "spec.userData")]


def test_whose_nic_it_is() -> None:
    assert read(instance="web") == (WantedSeed(first="web"), [])
    assert read(instance="none") == (WantedSeed(first=""), [])
    assert read() == (WantedSeed(), [])
    assert read(instance="No")[1] == [("name-rule", "spec.instance")]
