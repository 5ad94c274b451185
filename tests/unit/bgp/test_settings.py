"""The speaker's settings: what is wrong is said at once, a secret never."""

from __future__ import annotations

import base64
import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from bgp.speaker import configuration
from bgp.speaker.settings import parse
from model.errors import Invalid

GOOD = ["--router-id", "10.0.0.1", "--local-address", "10.0.0.1", "--asn", "65000", "--peer", "10.0.0.9"]


def test_flags_and_file_give_the_same(tmp_path):
    path = tmp_path / "speaker.json"
    values = {"router_id": "10.0.0.1", "local_address": "10.0.0.1", "asn": 65000, "peer": ["10.0.0.9"]}
    path.write_text(json.dumps(values))
    assert parse(["--config", str(path)]) == parse(GOOD)
    assert parse(["--config", str(path), "--asn", "65001"]).asn == 65001


def test_the_socket_may_have_its_scheme():
    assert parse([*GOOD, "--socket", "unix:/run/x.sock"]).socket == Path("/run/x.sock")
    assert parse([*GOOD, "--socket", "/run/x.sock"]).socket == Path("/run/x.sock")


def test_a_peer_named_twice_is_one():
    assert parse([*GOOD, "--peer", "10.0.0.9", "--peer", "10.0.0.8"]).peers == (
        ip_address("10.0.0.9"),
        ip_address("10.0.0.8"),
    )


def test_all_faults_come_at_once():
    bad = [
        "--router-id",
        "fd00::1",
        "--local-address",
        "x",
        "--asn",
        "0",
        "--hold",
        "2",
        "--md5-file",
        "/none",
    ]
    with pytest.raises(Invalid) as caught:
        parse(bad)
    rules = {fault.rule for fault in caught.value.faults}
    assert rules == {
        f"speaker-{name}" for name in ("router-id", "local-address", "asn", "hold", "md5-file", "peer")
    }
    assert all(fault.remedy for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--peer", "fd00::9"], "speaker-peer"),
        (["--port", "99999"], "speaker-port"),
        (["--restart", "4096"], "speaker-restart"),
        (["--max-routes", "many"], "speaker-max-routes"),
        (["--hops", "0"], "speaker-hops"),
        (["--hops", "255"], "speaker-hops"),
        (["--retry", "0"], "speaker-retry"),
    ],
)
def test_single_faults(more, rule):
    with pytest.raises(Invalid) as caught:
        parse([*GOOD, *more])
    assert [fault.rule for fault in caught.value.faults] == [rule]


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"router-id": 1}'])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "speaker.json"
    path.write_text(text)
    with pytest.raises(Invalid):
        parse(["--config", str(path), *GOOD])


def test_a_password_is_carried_whole_and_not_shown(tmp_path):
    path = tmp_path / "md5"
    path.write_bytes(b"it's; {a} secret\n")
    made = parse([*GOOD, "--md5-file", str(path)])
    assert made.md5 == b"it's; {a} secret"
    assert "secret" not in repr(made)
    text = configuration.text(made, Path("/helper"))
    assert base64.b64encode(made.md5).decode() in text
    assert "secret" not in text


@pytest.mark.parametrize("size", [0, 81])
def test_a_password_of_no_use_is_refused(tmp_path, size):
    path = tmp_path / "md5"
    path.write_bytes(b"x" * size)
    with pytest.raises(Invalid):
        parse([*GOOD, "--md5-file", str(path)])


def test_the_configuration_says_what_we_rely_on():
    text = configuration.text(parse([*GOOD, "--peer", "10.0.0.8"]), Path("/helper"))
    assert text.count("neighbor 10.0.0.") == 2
    for words in ("manual-eor true;", "family { l2vpn evpn; }", "graceful-restart 120;", "adj-rib-out true;"):
        assert text.count(words) == 2
    assert "listen" not in text and "ttl" not in text


def test_ttl_security_sends_255_and_takes_what_the_hops_leave():
    text = configuration.text(parse([*GOOD, "--hops", "2"]), Path("/helper"))
    assert "outgoing-ttl 255;" in text and "incoming-ttl 254;" in text


def test_exabgps_own_settings_do_not_leak_in():
    made = configuration.environment(
        parse(GOOD), {"exabgp_tcp_bind": "0.0.0.0", "EXABGP.API.CLI": "1", "HOME": "/x"}
    )
    assert made["exabgp_tcp_bind"] == ""
    assert "EXABGP.API.CLI" not in made
    assert made["HOME"] == "/x"
