"""Count, then enforce, from end to end: the recipe of docs/policy.md as it stands there, with real packets.

What agents read of real switches is the evidence, through store and API; less is asked for than a week of it.
Of two ports that the tenant shows to a peer, one is on each host: what comes from the peer is what
the default would drop, unless a rule takes it.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from controller.cli.commands import REFUSED
from model.entries import lot
from model.ids import Uid
from tests.integration.product.extra import document, lead_out, network, port, seat
from tests.integration.product.guarded import BLUE, RED, Guarded, Talk
from tests.integration.product.verdicts import CONTROL, probes, tcp, udp, wrong
from topologies.deadline import until
from topologies.process import Outcome
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream, count_udp

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

PAGE: Final = Path(__file__).parents[3] / "docs" / "policy.md"
SHORT: Final = "0.0005"
"""Hours: not two seconds."""
NAMES, CHATTER, TALK = 53, 7, 7777
"""Ports of UDP: what turns out to be right, what does not, and a conversation that does not either."""
RIGHT: Final = f"""    - name: names
      direction: in
      action: allow
      services: [{{protocol: udp, port: {NAMES}-{NAMES + 1}}}, {{protocol: udp, port: {CONTROL}}}]
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe for a tenant of this lab: its file, and its commands in the order in which it names them."""

    manifest: str
    commands: tuple[tuple[str, ...], ...]


def recipe(tenant: str) -> Recipe:
    text = PAGE.read_text(encoding="utf-8")
    text = text.partition("\n## Recipe: default-deny a tenant without an outage\n")[2].partition("\n## ")[0]
    text = text.replace("acme", tenant)
    (manifest,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    said = re.findall(r"`ringfence ([^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return Recipe(textwrap.dedent(manifest), tuple(tuple(shlex.split(each)) for each in said))


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Guarded:
    """`first` and `second` (red) and `peer` (blue), in networks of a peering; `here` and `there` (red)."""
    base = two_tenants_lab(2)
    red, blue = network("red", "common", RED), network("blue", "common", BLUE)
    halves = (document("Peering", "to-blue", {"peer": "blue", "prefixes": list(RED)}, "red"),
              document("Peering", "to-red", {"peer": "red", "prefixes": list(BLUE)}, "blue"))  # fmt: skip
    wanted = {
        "first": port("red", "first", red, 41, "hv1"),
        "second": port("red", "second", red, 42, "hv2"),
        "peer": port("blue", "peer", blue, 41, "hv1"),
    }
    base.control.apply([red, blue, *halves, *wanted.values()])
    for host in base.lab.hypervisors:
        base.control.set_agent(host, "--evidence-every", "0.5")
    cast = {name: seat(base, one["metadata"]["tenant"], name, name) for name, one in wanted.items()}
    cast |= {"here": base.at("red", "hv1"), "there": base.at("red", "hv2")}
    for cidr in cast["here"].cidrs:
        lead_out(cast["here"].vm, cidr)
    base.control.await_bound()
    for one, another in (("peer", "first"), ("peer", "second"), ("here", "first"), ("here", "second")):
        for address in cast[another].addresses:
            until(
                f"{one} reaches {another} at {address}",
                lambda one=one, address=address: ping(cast[one].vm, address, 1, wait=0.5).reached,
                30,
            )
    return Guarded(base, cast)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who follows the recipe; `path` is its file."""

    stage: Guarded
    path: Path

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def run(self, words: Iterable[str], *more: str) -> Outcome:
        words = [str(self.path) if word == self.path.name else word for word in words]
        return self.stage.base.control.run(*words, *more)

    def does(self, words: Iterable[str], *more: str) -> str:
        """With success."""
        done = self.run(words, *more)
        assert done.ok, done.stdout + done.stderr
        return done.stdout

    def refusals(self, words: Iterable[str]) -> set[str]:
        """The rules that a promotion is refused by; none if it would be done."""
        done = self.run(words, "--dry-run")
        return set() if done.ok else set(re.findall(r"\[(promotion-[a-z-]+)\]", done.stderr))

    def default(self, words: Iterable[str]) -> dict[str, Any]:
        """What `policy status` says of the default."""
        items = json.loads(self.run(words, "-o", "json").stdout)["items"]
        (found,) = [one for one in items if one["rule"] == 0]
        return dict(found)

    def hits(self, words: Iterable[str]) -> dict[str, int]:
        """By port, what the default would have dropped."""
        return {one["port"]: one["packets"] for one in self.default(words)["hitPorts"]}


def send(peer: Workload, target: Workload, number: int, times: int) -> int:
    """Datagrams in both families, which all arrive; how many."""
    for address in target.addresses:
        result = count_udp(peer.vm, target.vm, address, times, 100, 200, number)
        assert result.received == times, result
    return times * len(target.addresses)


def put(words: Iterable[str], flag: str, value: str = "") -> list[str]:
    """The command with another value of a flag, or without the flag."""
    made = list(words)
    at = made.index(flag)
    return [*made[:at], *((flag, value) if value else ()), *made[at + 2 :]]


def mistaken(peer: Workload, fellow: Workload, targets: dict[Workload, bool]) -> list[str]:
    """Packets with another end than foretold. `targets`: whether the default is enforced there."""
    passes, drops = [], []
    for target, enforced in targets.items():
        foretold = probes(peer, target, udp(CHATTER), tcp(80))
        passes += probes(peer, target, tcp(443), udp(NAMES + 1)) + ([] if enforced else foretold)
        passes += probes(target, peer, udp(CHATTER), tcp(80)) + probes(fellow, target, udp(CHATTER), tcp(80))
        drops += foretold if enforced else []
    return wrong(passes, drops)


def test_a_tenant_is_denied_by_default_without_an_outage(stage: Guarded, tmp_path: Path) -> None:
    followed = recipe("red")
    assert [words[:2] for words in followed.commands] == [
        ("apply", "-f"), ("get", "securitypolicies"), ("policy", "status"), ("policy", "status"),
        ("policy", "promote"), ("plan", "-f"),
    ]  # fmt: skip
    apply, shown, status, look, promote, plan = followed.commands
    peer, first, second, here, there = stage.of("peer", "first", "second", "here", "there")
    operator = Operator(stage, tmp_path / apply[2])
    operator.write(followed.manifest)
    with (
        UdpStream(here.vm, there.vm, there.ipv4, rate=200) as inside,
        UdpStream(peer.vm, second.vm, second.ipv4, rate=50, port=NAMES) as names,
    ):
        until("they flow", lambda: min(inside.received, names.received) > 10, 20)

        # 1 and 2: it counts, and drops nothing
        operator.does(apply, "--wait")
        assert "deny (count)" in operator.does(shown)
        assert "default in" in operator.does(status)
        told = send(peer, first, CHATTER, 20)
        until("what the first would not have got is known", lambda: "red/first" in operator.hits(look), 30)
        until("all of it", lambda: operator.hits(look)["red/first"] == told, 30)

        # 3: one of the habits is right
        until("connections are listed", lambda: f":{NAMES}" in operator.run(look).stdout, 30)
        operator.write(followed.manifest.replace("  defaults:", f"{RIGHT}  defaults:"))
        operator.does(apply, "--wait")
        assert operator.hits(look)["red/first"] == told, "the default is what it was"

        # 4: not before it was watched for a week, and not what nobody accepts
        assert operator.refusals(promote) == {"promotion-evidence-short", "promotion-hits"}
        soon = put(promote, "--hours", SHORT)
        until("watched", lambda: operator.refusals(soon) == {"promotion-hits"}, 30)
        assert operator.run(soon).code == REFUSED and operator.default(look)["state"] == "count"
        lots = {one: lot(Uid(one.uid)) for one in (first, second)}
        share = min(lots.values()) + 1
        with Talk(peer, first, 4, TALK) as talk:
            assert talk.flows()
            operator.does(put(soon, "--share", str(share)), "--accept-hits")
            assert mistaken(peer, here, {one: lots[one] < share for one in lots}) == []

            # 5: exactly what was predicted
            operator.does(put(soon, "--share"), "--accept-hits")
            assert mistaken(peer, here, dict.fromkeys(lots, True)) == []
            assert talk.silent() == []
        for stream in (inside, names):
            result = stream.stop()
            assert result.sent > 100 and result.lost == 0, result

    # 6: the file says it, too
    enforced = operator.path.read_text(encoding="utf-8").replace("{action: deny, state: count}", "deny")
    assert operator.does(plan).startswith("~") or "change" in operator.does(plan)
    operator.write(enforced)
    assert "nothing to do" in operator.does(plan)
    operator.write(followed.manifest)
    operator.does(apply, "--wait")
    assert mistaken(peer, here, dict.fromkeys(lots, False)) == [], "as before"
