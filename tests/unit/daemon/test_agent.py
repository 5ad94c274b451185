"""The agent's settings: flags, a file of the same names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.agent.post import TlsPost
from controller.agent.shares import CONNECTIONS, Shares
from controller.agent.upload import UnixPost
from controller.daemon.agent_flags import parse
from controller.tls.endpoint import Endpoint, parse_endpoint

PAPERS = ("--api-cert", "c", "--api-key", "k", "--api-ca", "a")


def test_shares_of_connections_come_from_flags_or_a_file(tmp_path: Path) -> None:
    assert parse([]).shares == Shares()
    given = ["--tenant-connections", "5000", "--port-connections", "100"]
    assert parse(given).shares == Shares(5000, 100)
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({"tenant_connections": 70_000, "port_connections": 1}))
    assert parse(["--config", str(file)]).shares == Shares(70_000, 1)
    assert parse(["--config", str(file), *given]).shares == Shares(5000, 100)


@pytest.mark.parametrize(
    ("tenant", "port"),
    [("0", "1"), ("100", "0"), ("100", "101"), (str(CONNECTIONS + 1), "1"), ("-5", "-6"), ("many", "1")],
)
def test_shares_that_make_no_sense_are_refused(
    tenant: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--tenant-connections", tenant, "--port-connections", port])
    assert "-connections" in capsys.readouterr().err


def test_how_long_routes_are_held_is_set_by_flags() -> None:
    limits = parse([]).limits
    assert (limits.hold, limits.peer_hold) == (180.0, None)
    limits = parse(["--hold", "5", "--peer-hold", "7.5"]).limits
    assert (limits.hold, limits.peer_hold) == (5.0, 7.5)


@pytest.mark.parametrize("flag", ["--hold", "--peer-hold"])
@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "long"])
def test_holds_that_make_no_sense_are_refused(
    flag: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([flag, seconds])
    assert flag in capsys.readouterr().err


def test_egress_goes_to_the_socket_or_over_tls() -> None:
    assert parse([]).post() == UnixPost(Path("/run/ringfence/api.sock"))
    assert parse(["--api", "unix:/run/x.sock"]).post() == UnixPost(Path("/run/x.sock"))
    found = parse(["--api", "tls:api.example:6650", *PAPERS])
    first, second = found.post(), found.post()
    assert isinstance(first, TlsPost) and isinstance(second, TlsPost)
    assert first.endpoint == Endpoint("api.example", 6650)
    # One for each thread: what it remembers of its files is not shared.
    assert first.current is not second.current


def test_the_files_of_tls_may_stand_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    values = {"api": "tls:api.example:6650", "api_cert": "c", "api_key": "k", "api_ca": "a"}
    file.write_text(json.dumps(values))
    assert isinstance(parse(["--config", str(file)]).post(), TlsPost)


@pytest.mark.parametrize(
    "words",
    [
        ("--api", "tls:api.example:6650"),
        ("--api", "tls:api.example", *PAPERS),
        ("--api", "tls:api.example:6650", *PAPERS[:4]),
        PAPERS,
        ("--api-key", "k"),
    ],
)
def test_half_of_what_tls_needs_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert "--api" in capsys.readouterr().err


STORE = ("--store-cert", "c", "--store-key", "k", "--store-ca", "a")


def test_a_store_over_tls_needs_its_own_papers(tmp_path: Path) -> None:
    assert parse([]).caller is None
    assert parse(["--store", "unix:/run/a.sock,tcp:127.0.0.1:6640"]).caller is None
    found = parse(["--store", "ssl:store.example:6640, ssl:[2001:db8::1]:6640", *STORE])
    assert found.caller is not None and found.store.startswith("ssl:store.example")
    file = tmp_path / "agent.json"
    values = {"store": "ssl:store.example:6640", "store_cert": "c", "store_key": "k", "store_ca": "a"}
    file.write_text(json.dumps(values))
    assert parse(["--config", str(file)]).caller is not None


@pytest.mark.parametrize(
    "words",
    [
        STORE,
        ("--store", "ssl:store.example:6640"),
        ("--store", "ssl:store.example:6640", *STORE[:4]),
        ("--store", "ssl:store.example:6640", *PAPERS),
        ("--store", "ssl:store.example", *STORE),
        ("--store", "ssl:2001:db8::1:6640", *STORE),
        ("--store", "ssl:store.example:6640,tcp:store.example:6641", *STORE),
        ("--store", "tcp:store.example:6640", *STORE),
    ],
)
def test_what_no_store_over_tls_is_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert "--store" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tls:api.example:1", "api.example", 1),
        ("tls:192.0.2.1:65535", "192.0.2.1", 65535),
        ("tls:[2001:DB8::0:1]:6650", "2001:db8::1", 6650),
    ],
)
def test_endpoints_as_they_are_written(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)
    assert parse_endpoint(str(parse_endpoint(text))) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "tls:", "tls::1", "tls:a", "tls:a:", "tls:a:0", "tls:a:65536", "tls:a:٣", "tls:a:-1", "ssl:a:1",
     "tls:2001:db8::1:1", "tls:[192.0.2.1]:1", "tls:[x]:1", "tls:a..b:1", "tls:a b:1", "tls:a/b:1",
     "tls:" + "a" * 64 + ":1"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(text)
