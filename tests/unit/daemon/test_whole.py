"""`ringfenced all`: which flags it hands on, and to whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from controller.agent.shares import Shares
from controller.daemon import agent_flags, services
from controller.daemon.whole import parse, processes


def commands(*words: str) -> dict[str, list[str]]:
    """Name of each process -> the flags that it is started with."""
    return {child.name: child.command for child in processes(parse(["--vtep", "192.0.2.1", *words]))}


def test_policy_and_holdings_are_handed_on() -> None:
    policy = ["--guard", "count", "--tenant-routes", "8", "--mac-moves", "0", "--mac-window", "60"]
    policy += ["--keep-intervals", "90"]
    holdings = [
        "--hold",
        "33.5",
        "--peer-hold",
        "7.0",
        "--tenant-connections",
        "5000",
        "--port-connections",
        "100",
    ]
    made = commands(*holdings, *policy)
    assert made["api"][-len(policy) :] == policy
    assert made["agent"][-len(holdings) :] == holdings
    got = agent_flags.parse(made["agent"][made["agent"].index("agent") + 1 :])
    assert (got.limits.hold, got.limits.peer_hold, got.shares) == (33.5, 7.0, Shares(5000, 100))


def test_what_is_not_given_is_left_to_each() -> None:
    made = commands()
    assert set(made) == {"store", "api", "agent", "services"}
    given = {word for command in made.values() for word in command}
    assert not given & {"--guard", "--mac-moves", "--hold", "--tenant-connections"}


def test_resolvers_are_those_of_what_answers_ports() -> None:
    words = ["--resolver", "192.0.2.53", "--resolver", "2001:db8::53@5353"]
    made = commands(*words)
    given = made["services"]
    assert given[-len(words) :] == words
    settings = services.parse(given[given.index("services") + 1 :])
    assert settings.resolvers == ((ip_address("192.0.2.53"), 53), (ip_address("2001:db8::53"), 5353))
    state = made["agent"][made["agent"].index("--state") + 1]
    assert str(settings.state) == state
    assert commands()["services"][-2] == "--ovs-rundir"


@pytest.mark.parametrize(
    "words",
    [
        ("--guard", "off"),
        ("--mac-moves", "-1"),
        ("--port-connections", "0"),
        ("--peer-hold", "-1"),
        ("--keep-intervals", "1"),
    ],
)
def test_what_none_of_them_would_take_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
