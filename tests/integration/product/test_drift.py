"""Who touches the switch behind the agent's back is undone within seconds, and leaves a receipt.

Real Open vSwitch, tampered with by ovs-ofctl. What is not ours is left alone and counted; what nobody touched
goes on counting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

_EVERY = 4
_PINGS = 3
_TRIES = 8
_ALIEN = "priority=7,in_port=999"
_MATCH = re.compile(r" (priority=\S+) actions=")
_SEEN = re.compile(r"duration=([\d.]+)s.* n_packets=(\d+)")


@dataclass(frozen=True, slots=True)
class Stage:
    """`mine` is tampered with, `other` (another tenant, same host) is not."""

    scenario: TwoTenants
    host: Hypervisor
    mine: Workload
    peer: Workload
    other: Workload

    def entry(self, who: Workload) -> str:
        """Priority and match of the flow by which frames of a VM come in, as the switch lists them."""
        place = f"priority=100,in_port={self.port(who)},"
        (found,) = [m[1] for m in map(_MATCH.search, self.lines()) if m and m[1].startswith(place)]
        return found

    def port(self, who: Workload) -> str:
        """Its OpenFlow port."""
        return self.host.vsctl("get", "Interface", who.ifname, "ofport").strip()

    def line(self, match: str) -> str:
        """The flow at exactly this place, as the switch lists it; empty if there is none."""
        return next((line for line in self.lines() if f" {match} actions=" in line), "")

    def lines(self) -> list[str]:
        """All flows of the first table."""
        listed = self.host.ofctl("dump-flows", self.host.management, "table=0")
        return [line.strip() for line in listed.splitlines() if "n_packets" in line]

    def seen(self, match: str) -> tuple[float, int]:
        """Seconds and packets of a flow, once what the data path has cached is counted."""
        self.host.settle()
        found = _SEEN.search(self.line(match))
        return (float(found[1]), int(found[2])) if found else (0.0, 0)

    def drift(self) -> dict[str, Any]:
        done = self.scenario.control.run("drift", "--host", self.host.name, "-o", "json")
        assert done.ok, done.stderr
        return dict(json.loads(done.stdout))

    def audits(self) -> int:
        return int(self.drift()["counts"][0]["audits"])

    def receipts(self, finding: str) -> list[dict[str, Any]]:
        return [r for r in self.drift()["items"] if r["finding"] == finding]

    def awaited(self, finding: str, known: int) -> list[dict[str, Any]]:
        """The receipts of this finding beyond the first `known`."""
        until(f"a receipt: {finding}", lambda: len(self.receipts(finding)) > known, 30)
        return self.receipts(finding)[known:]


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2)
    scenario.await_reachability()
    host = scenario.lab.hypervisors[0]
    scenario.control.audit_every(host, _EVERY)
    scenario.await_reachability()
    made = Stage(scenario, host, *scenario.of("red"), scenario.of("blue")[0])
    until("the new agent has audited", lambda: made.audits() > 1, 60)
    assert made.drift()["items"] == [], "a restart is no drift"
    return made


def test_a_deleted_flow_comes_back(stage: Stage) -> None:
    match, other = stage.entry(stage.mine), stage.entry(stage.other)
    since, packets = stage.seen(other)
    assert packets > 0
    before = stage.line(match)
    assert before
    stage.host.ofctl("del-flows", "--strict", stage.host.management, f"table=0,{match}")
    (receipt,) = stage.awaited("missing", 0)
    assert (receipt["action"], receipt["packets"]) == ("put", 0)
    assert receipt["flow"].startswith("port red/vm1: ") and "table=classify" in receipt["flow"]
    assert stage.line(match).partition("actions=")[2] == before.partition("actions=")[2]
    assert ping(stage.mine.vm, stage.peer.ipv4).reached
    assert ping(stage.other.vm, stage.scenario.of("blue")[1].ipv4, _PINGS).reached
    later, more = stage.seen(other)
    assert later > since and more >= packets + _PINGS, "an untouched flow goes on"


def test_changed_actions_are_put_right_and_what_they_took_is_told(stage: Stage) -> None:
    match = stage.entry(stage.mine)

    def tamper() -> int:
        """Packets that the changed flow has counted; 0 if the audit was faster than this."""
        stage.host.ofctl("mod-flows", "--strict", stage.host.management, f"table=0,{match},actions=drop")
        ping(stage.mine.vm, stage.peer.ipv4, _PINGS, wait=0.2)
        packets = stage.seen(match)[1]
        return packets if stage.line(match).endswith("actions=drop") else 0

    packets, receipt = tampered(stage, "wrong", tamper)
    assert receipt["action"] == "put" and receipt["packets"] >= packets
    assert receipt["flow"].startswith("port red/vm1: ") and "there were other actions" in receipt["flow"]
    assert ping(stage.mine.vm, stage.peer.ipv4).reached
    assert not stage.line(match).endswith("actions=drop")


def test_a_flow_that_claims_to_be_ours_is_deleted_and_a_strange_one_is_left_alone(stage: Stage) -> None:
    mine = stage.entry(stage.mine)
    cookie = re.search(r"cookie=(0x[0-9a-f]+)", stage.line(mine))
    assert cookie
    match = f"priority=31000,icmp,in_port={stage.port(stage.mine)},nw_dst={stage.peer.ipv4}"
    alien = stage.drift()["counts"][0]["alien"]
    stage.host.ofctl("add-flow", stage.host.management, f"cookie=0xa11e,table=0,{_ALIEN},actions=drop")

    def tamper() -> int:
        stage.host.ofctl(
            "add-flow", stage.host.management, f"cookie={cookie[1]},table=0,{match},actions=drop"
        )
        ping(stage.mine.vm, stage.peer.ipv4, _PINGS, wait=0.2)
        return stage.seen(match)[1]

    packets, receipt = tampered(stage, "orphan", tamper)
    assert packets == _PINGS
    assert (receipt["action"], receipt["packets"]) == ("deleted", packets)
    assert receipt["flow"] == f"port red/vm1: cookie={cookie[1]},table=classify,priority=31000"
    assert stage.line(match) == ""
    assert ping(stage.mine.vm, stage.peer.ipv4).reached
    until("the strange flow is counted", lambda: stage.drift()["counts"][0]["alien"] == alien + 1, 30)
    assert stage.line(_ALIEN), "it is none of our business"


def test_a_changed_group_is_put_right_and_told(stage: Stage) -> None:
    def group() -> str:
        shown = stage.host.ofctl("dump-groups", stage.host.management).splitlines()
        return next((line for line in shown if f"group_id={0x52F1}," in line), "")

    before, known = group(), len(stage.receipts("wrong"))
    assert before
    words = f"group_id={0x52F1},type=select,bucket=actions=drop"
    stage.host.ofctl("mod-group", stage.host.management, words)
    made = stage.awaited("wrong", known)
    assert [r["flow"] for r in made] == [
        "host: group 0x52f1, which shares load among next hops; it had other buckets"
    ]
    assert group() == before


def test_receipts_outlive_the_agent(stage: Stage) -> None:
    match = stage.entry(stage.mine)
    known = len(stage.receipts("missing"))
    stage.host.ofctl("del-flows", "--strict", stage.host.management, f"table=0,{match}")
    stage.awaited("missing", known)
    before = stage.drift()["items"]
    stage.scenario.control.audit_every(stage.host, _EVERY)
    until("the new agent has audited", lambda: stage.drift()["counts"][0]["missing"] == 0, 60)
    assert stage.drift()["items"] == before


def tampered(stage: Stage, finding: str, tamper: Callable[[], int]) -> tuple[int, dict[str, Any]]:
    """Tamper until the packets could be read before an audit came: their number, and the receipt of it. Each
    time right behind an audit, so that there is time till the next."""
    for _ in range(_TRIES):
        known, audits = len(stage.receipts(finding)), stage.audits()
        until("an audit", lambda known=audits: stage.audits() > known, 60)
        packets = tamper()
        made = stage.awaited(finding, known)
        if packets and made[-1]["packets"] >= packets:  # else it had looked before they were counted
            return packets, made[-1]
    raise AssertionError(f"an audit came first {_TRIES} times: {finding}")
