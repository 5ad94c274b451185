"""The agent's settings: flags, a file of the same names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.agent.shares import CONNECTIONS, Shares
from controller.daemon.agent import parse


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
