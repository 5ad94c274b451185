"""Sessions with FRR: MD5, TTL security, timers, a reflector that falls silent; and why there is none.

Each speaker has its own terms with one reflector; what is wrong on purpose is told from the other end, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from bgp.client import PeerDown, PeerSilent, PeerUp
from bgp.reflector import Client, Terms, configuration
from tests.integration.evpn.lab import ASN, Lab, run, wait
from tests.integration.evpn.test_evpn import Agent

pytestmark = pytest.mark.integration

PASSWORD, WRONG = "s3cret", "sacred"
HOSTS = ("good", "wrong", "none", "far", "plain", "alien")
"""Right, wrong and no password; right password, but two hops where one is allowed; no TTL security; another
AS number."""
STRANGER = "stranger"
"""Of whom the reflector was not told."""


@dataclass
class Stage:
    lab: Lab
    agents: dict[str, Agent] = field(default_factory=dict)

    def at_reflector(self, host: str) -> dict[str, object]:
        peers = self.lab.vtysh("rr", "show bgp l2vpn evpn summary json")["peers"]
        return peers[self.lab.address(host)]

    def timers(self, host: str) -> tuple[int, int]:
        """(hold, keepalive) in seconds, as negotiated."""
        address = self.lab.address(host)
        peer = self.lab.vtysh("rr", f"show bgp neighbors {address} json")[address]
        return peer["bgpTimerHoldTimeMsecs"] // 1000, peer["bgpTimerKeepAliveIntervalMsecs"] // 1000

    def up(self, host: str) -> bool:
        states = self.agents[host].seen(PeerUp | PeerDown)
        return bool(states) and isinstance(states[-1], PeerUp)

    def reason(self, host: str) -> str:
        told = self.agents[host].seen(PeerSilent)
        return told[-1].reason if told else ""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    for tool in ("ip", "setpriv", "vtysh", "nft"):
        assert shutil.which(tool), f"{tool} is missing: install it"
    lab = Lab.open()
    made = Stage(lab)
    try:
        lab.node("rr")
        for name in (*HOSTS, STRANGER):
            lab.node(name)
        source = ip_address(lab.address("rr"))
        clients = [Client(name, ip_address(lab.address(name))) for name in HOSTS]
        terms = Terms(ASN, source, 20, 60, hops=1, password=PASSWORD)
        lab.frr_with("rr", configuration(terms, clients))
        # What a router on the way would do, to one of them.
        lab.inside("far", "nft", "add table ip way")
        lab.inside("far", "nft", "add chain ip way out { type filter hook postrouting priority 0 ; }")
        lab.inside("far", "nft", "add rule ip way out tcp dport 179 ip ttl set 254")
        for word in (PASSWORD, WRONG):
            (lab.directory / word).write_text(word + "\n")
        right, wrong = (("--md5-file", str(lab.directory / word)) for word in (PASSWORD, WRONG))
        hops = ("--hops", "1")
        more = {
            "good": right + hops,
            "wrong": wrong + hops,
            "none": hops,
            "far": right + hops,
            "plain": right,
            "alien": (*right, *hops, "--asn", str(ASN + 1)),
            STRANGER: hops,
        }
        for name in more:
            lab.speaker(name, lab.address(name), [str(source)], "--retry", "2", "--hold", "9", *more[name])
        for name in more:
            wait((lab.directory / f"{name}.sock").exists, f"the speaker of {name} to listen")
            made.agents[name] = Agent(lab.directory / f"{name}.sock")
        yield made
    finally:
        for agent in made.agents.values():
            agent.client.stop()
        lab.close()


def await_good(stage: Stage) -> None:
    """Each end is there by the other's keepalive: one of them first. Seven speakers begin at once."""
    wait(lambda: stage.up("good"), "the session", 180)
    wait(lambda: stage.at_reflector("good")["state"] == "Established", "the session at the reflector")


def test_with_the_password_and_within_the_hops_there_is_a_session(stage: Stage) -> None:
    await_good(stage)


def test_the_smaller_hold_time_is_taken(stage: Stage) -> None:
    """RFC 4271 section 4.2; the speaker says 9, the reflector 60."""
    await_good(stage)
    assert stage.timers("good") == (9, 3)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("wrong", "its MD5 password"),
        ("none", "its MD5 password"),
        ("far", "its TTL security"),
        ("plain", "its TTL security"),
        ("alien", "bad peer AS"),
        (STRANGER, "refused or closed"),
    ],
)
def test_else_there_is_none_and_the_reason_is_told(stage: Stage, host: str, reason: str) -> None:
    """`far` and `plain` are cut off by TTL: FRR sees 254, or 64, where it wants 255. Its kernel looks at that
    only when FRR has taken the connection. On a busy machine our OPEN is there before and is answered, so
    that we take it for a session until its hold time is over; FRR hears no KEEPALIVE, and never does."""
    wait(lambda: reason in stage.reason(host), f"the reason at {host}", 30)
    assert host in ("far", "plain") or not stage.agents[host].seen(PeerUp)
    if host != STRANGER:
        seen = stage.at_reflector(host)
        assert (seen["state"] != "Established", seen["connectionsEstablished"]) == (True, 0), seen


def test_the_password_put_right_brings_the_session(stage: Stage) -> None:
    """So it was the password, and the way there is open."""
    lab = stage.lab
    lab.tell(
        "rr", "configure terminal", f"router bgp {ASN}", f"neighbor {lab.address('wrong')} password {WRONG}"
    )
    wait(lambda: stage.up("wrong"), "the session of the other password", 30)


def test_the_ttl_put_right_brings_the_session(stage: Stage) -> None:
    stage.lab.inside("far", "nft", "delete table ip way")
    wait(
        lambda: stage.up("far") and stage.at_reflector("far")["state"] == "Established",
        "the session of who was too far",
    )


@pytest.mark.long
def test_a_reflector_that_was_silent_for_long_is_back_soon(stage: Stage) -> None:
    """No reset, no answer: the hold timer ends the session; then SYNs go unanswered, and a new one is tried
    before the kernel's own pauses have grown."""
    lab, agent = stage.lab, stage.agents["good"]
    wait(lambda: stage.up("good"), "the session")
    here = agent.mark()
    port = f"v{lab.names['good']}"
    run("ip", "-n", lab.space("hub"), "link", "set", port, "nomaster")
    wait(lambda: agent.seen(PeerDown, here), "the hold timer", 45)
    wait(lambda: agent.seen(PeerSilent, here), "the reason", 20)
    assert "no answer" in agent.seen(PeerSilent, here)[-1].reason
    run("ip", "-n", lab.space("hub"), "link", "set", port, "master", "br0")
    wait(lambda: agent.seen(PeerUp, here), "the session to come back", 20)
