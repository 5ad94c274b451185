"""What one tenant sends never comes out at another, whatever it is; what is spoofed comes out nowhere.

Real Open vSwitch, real frames. Every capture sees a control before and after the attack, every class of
attack is counted by the switch, and with one check taken out of the switch the same attack does arrive.
The underlay is routed, so that a forged outer source is only that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.integration.product.attacks import (
    BROADCAST,
    CLASSIFY,
    DELIVERY,
    GUARD,
    NOBODY,
    SERVICES,
    Attack,
    Fate,
    Field,
    attacks,
)
from tests.integration.product.witness import Guest, Witness, document, drops, risen, seat, vni
from topologies.datapath import Datapath
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import NETWORK, SUBNETS, TENANTS, TwoTenants, Workload
from topologies.traffic.frames import Forgery, forge, inject

pytestmark = pytest.mark.integration

_UNUSED_VNI = 0xABCDE


@dataclass(frozen=True, slots=True)
class Stage:
    """red1 attacks on hv1. red2 (hv2) and red9 (hv1) are of its network; blue1, blue2, and green1, green2 of
    a tenant that lives on hv1 alone, are not."""

    scenario: TwoTenants
    attacker: Workload
    friends: tuple[Workload, ...]
    victims: tuple[Workload, ...]

    @property
    def host(self) -> Hypervisor:
        return self.scenario.lab.hypervisors[0]

    @property
    def other(self) -> Hypervisor:
        return self.scenario.lab.hypervisors[1]

    def witness(self, *more: Workload) -> Witness:
        guests = (*self.friends, *self.victims, *more)
        everyone = (*self.friends, *self.victims, self.attacker)
        senders = {g.name: next(o for o in everyone if o.tenant == g.tenant and o is not g) for g in guests}
        return Witness(guests, senders)

    def replicate(self, wanted: bool) -> None:
        spec = {"subnets": list(SUBNETS), "replicate": wanted}
        made = [document("Network", {"name": NETWORK, "tenant": t}, spec) for t in (*TENANTS, "green")]
        self.scenario.control.apply(made)
        until("programmed everywhere", lambda: in_sync(self.scenario), 30)

    def field(self) -> Field:
        return Field(
            attacker=self.attacker,
            friend=self.friends[0],
            victims=self.victims,
            vteps=tuple((h.vtep_address, h.mac) for h in self.scenario.lab.hypervisors),
            vnis=tuple(vni(self.scenario, t) for t in ("red", "blue", "green")),
            salt=os.urandom(8),
        )


def in_sync(scenario: TwoTenants) -> bool:
    """Every host has acknowledged the newest generation."""
    hosts = scenario.control.hosts().values()
    return bool(hosts) and all(
        h["state"] == "in-sync" and h["generation"] == h["wantedGeneration"] for h in hosts
    )


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2, routed=True)
    near = ("hv1",)
    wanted = [
        Guest("red", NETWORK, "vm9", 9, near),
        Guest("green", NETWORK, "vm1", 21, near),
        Guest("green", NETWORK, "vm2", 22, near),
    ]
    red9, green1, green2 = seat(scenario, wanted)
    scenario.await_reachability()
    red1, red2 = scenario.of("red")
    return Stage(scenario, red1, (red2, red9), (*scenario.of("blue"), green1, green2))


UNREAD = {"other ethertypes": 7, "broken headers": 1}
"""What the kernel's data path can't read (an NSH header that is none, to seven addresses; one header of
those that contradict themselves) it drops before any flow could count it."""


@pytest.mark.parametrize("replicate", [False, True], ids=["known unicast", "replicating"])
def test_nothing_of_a_hostile_vm_reaches_another_tenant(stage: Stage, replicate: bool) -> None:
    stage.replicate(replicate)
    field, problems, sent = stage.field(), [], 0
    unread = UNREAD if stage.scenario.lab.datapath is Datapath.KERNEL else {}
    with stage.witness() as witness:
        witness.control()
        for attack in (made := attacks(field)):
            before = drops(stage.host)
            sent += inject(stage.attacker.vm, "eth0", attack.frames)
            if attack.fate is Fate.REFUSED or (attack.fate is Fate.GROUP and not replicate):
                due = len(attack.frames) - unread.get(attack.name, 0)
                rise = risen(stage.host, before, attack.table, due)
                if rise < due:
                    problems.append(f"{attack.name}: {rise} of {len(attack.frames)} counted")
        witness.control()
        for attack in made:
            problems += judged(stage, witness, attack, replicate)
        mac = bytes.fromhex(stage.attacker.mac.replace(":", ""))
        strange = {v.name: witness.places(mac)[v.name] for v in stage.victims if witness.places(mac)[v.name]}
    print(f"{sent} frames of {len(made)} classes")
    assert strange == {}, "frames with the attacker's MAC at other tenants"
    assert problems == []


def judged(stage: Stage, witness: Witness, attack: Attack, replicate: bool) -> list[str]:
    """What is wrong about where the frames of a class came out."""
    places = witness.places(attack.mark)
    friends = {w.name for w in stage.friends}
    if attack.fate is Fate.OWN:
        right = places[stage.friends[0].name] == len(attack.frames) and set(places) <= friends
    elif attack.fate is Fate.GROUP and replicate:
        right = places == {name: len(attack.frames) for name in friends}
    else:
        right = not places
    return [] if right else [f"{attack.name} ({attack.fate.name}) came out at {dict(places)}"]


def test_oversized_frames_reach_nobody_else(stage: Stage) -> None:
    """A guest may raise its MTU; the host's end may be as large."""
    me, mark = stage.attacker, os.urandom(12)
    me.vm.run("ip link set eth0 mtu 9000")
    stage.host.run(f"ip link set {me.ifname} mtu 9000")
    body = Raw(mark + bytes(1480))
    frames: list[Packet] = []
    for target in (*stage.friends, *stage.victims):
        for source, mac in (("10.0.0.77", me.mac), (me.ipv4, NOBODY)):
            frames += [
                Ether(src=mac, dst=target.mac) / IP(src=source, dst=target.ipv4) / UDP() / (body.load * k)
                for k in (1, 5)
            ]
    try:
        with stage.witness() as witness:
            witness.control()
            before = drops(stage.host)
            inject(me.vm, "eth0", frames)
            rise = risen(stage.host, before, GUARD, len(frames))
            witness.control()
            assert witness.places(mark) == {}
            assert rise >= len(frames)
    finally:
        me.vm.run("ip link set eth0 mtu 1450")
        stage.host.run(f"ip link set {me.ifname} mtu 1450")


def inner(target: Workload, source: Workload, mark: bytes, tag: Packet | None = None) -> bytes:
    """A frame as the source VM would send it to the target VM; a reset, to which nothing answers."""
    head = Ether(src=source.mac, dst=target.mac)
    body = IP(src=source.ipv4, dst=target.ipv4) / TCP(sport=7, dport=7, flags="R") / Raw(mark)
    return bytes(head / tag / body if tag else head / body)


def group(source: Workload, mark: bytes) -> bytes:
    """An ARP announcement to everybody."""
    return bytes(Ether(src=source.mac, dst=BROADCAST) / ARP(op=2, hwsrc=source.mac, psrc=source.ipv4)) + mark


Underlay = tuple[str, int, list[Forgery], bytes]
"""Name, table that counts it, what is sent, and its marker."""


def underlay_attacks(stage: Stage) -> Iterator[Underlay]:
    """VXLAN that claims what it may not: every class ends at hv1."""
    control, lab = stage.scenario, stage.scenario.lab
    here, there = stage.host.vtep_address, stage.other.vtep_address
    vnis = {t: vni(control, t) for t in ("red", "blue", "green")}
    blue1, blue2 = control.of("blue")
    green1, green2 = (v for v in stage.victims if v.tenant == "green")
    red1, red2 = stage.attacker, stage.friends[0]
    pairs = ((red1, red2, "red"), (blue1, blue2, "blue"), (green1, green2, "green"))
    strangers = (lab.reflectors[0].address, "172.16.2.99", "172.16.77.1", "8.8.8.8", here)

    def made(name: str, table: int, claims: Callable[[bytes], list[tuple[str, int, bytes]]]) -> Underlay:
        mark = os.urandom(16)
        return name, table, [Forgery(s, here, n, f) for s, n, f in claims(mark)], mark

    yield made(
        "a VNI that nobody has",
        CLASSIFY,
        lambda m: [
            (there, n, inner(t, s, m)) for t, s, _ in pairs for n in (_UNUSED_VNI, 0, 1, (1 << 24) - 1)
        ],
    )
    yield made(
        "the right VNI from no VTEP",
        CLASSIFY,
        lambda m: [
            (a, vnis[n], f) for t, s, n in pairs for a in strangers for f in (inner(t, s, m), group(s, m))
        ],
    )
    yield made(
        "the right VTEP with a tenant's VNI that it has no port of",
        CLASSIFY,
        lambda m: [
            (there, vnis["green"], f)
            for f in (inner(green1, green2, m), inner(green2, green1, m), group(green2, m))
        ],
    )
    yield made(
        "a tag inside",
        CLASSIFY,
        lambda m: [(there, vnis[n], inner(t, s, m, Dot1Q(vlan=v))) for t, s, n in pairs for v in (0, 1, 7)],
    )
    yield made(
        "a tenant's VNI with another's MAC",
        DELIVERY,
        lambda m: [(there, vnis["red"], inner(v, s, m)) for v in stage.victims for s in (red2, v)],
    )
    yield made("a MAC that nobody has", DELIVERY, lambda m: [
        (there, vnis[n], bytes(Ether(src=s.mac, dst=NOBODY) / Raw(m))) for _, s, n in pairs[:2]])  # fmt: skip


def test_forged_vxlan_reaches_nobody(stage: Stage) -> None:
    stage.replicate(True)
    (forger,) = stage.scenario.lab.reflectors
    red1, red2 = stage.attacker, stage.friends[0]
    problems, marks = [], {}
    # The kernel takes no packet from outside that bears an address of its own, and needs no flow for that.
    kernel = stage.scenario.lab.datapath is Datapath.KERNEL
    with stage.witness(red1) as witness:
        witness.control()
        # What no receiver can tell from the truth does arrive: so the forger can forge.
        truth = os.urandom(16)
        honest = inner(red1, red2, truth)
        right = Forgery(stage.other.vtep_address, stage.host.vtep_address, vni(stage.scenario, "red"), honest)
        forge(forger, [right])
        for name, table, forgeries, mark in underlay_attacks(stage):
            before = drops(stage.host)
            forge(forger, forgeries)
            due = len([f for f in forgeries if not kernel or f.source != stage.host.vtep_address])
            rise = risen(stage.host, before, table, due)
            if rise < due:
                problems.append(f"{name}: {rise} of {due} counted")
            marks[name] = mark
        forge(forger, [right])
        witness.control()
        assert witness.places(truth) == {red1.name: 2}
        leaks = {name: dict(witness.places(mark)) for name, mark in marks.items() if witness.places(mark)}
    assert leaks == {}
    assert problems == []


_LINE = re.compile(r"cookie=(0x[0-9a-f]+), .*?table=(\d+), .*?(priority=\d+\S*) actions=(\S+)")


def found(host: Hypervisor, table: int) -> list[tuple[str, str, str]]:
    """Cookie, priority with match, and actions of each flow of a table."""
    lines = host.ofctl("dump-flows", host.management, f"table={table}").splitlines()
    return [(m[1], m[3], m[4]) for m in map(_LINE.search, lines) if m]


def spoofed(stage: Stage, mark: bytes) -> list[Packet]:
    """A foreign MAC and a foreign IP, to a friend on the other host."""
    me, friend = stage.attacker, stage.friends[0]
    lies = ((NOBODY, me.ipv4), (me.mac, "10.0.0.77"), (stage.victims[0].mac, "10.0.0.77"))
    return [
        Ether(src=mac, dst=friend.mac) / IP(src=ip, dst=friend.ipv4) / UDP(sport=7, dport=7) / Raw(mark)
        for mac, ip in lies
    ]


def after(stage: Stage, send: Callable[[bytes], object], *more: Workload) -> dict[str, int]:
    """Where the frames of one attack came out, between two controls."""
    mark = os.urandom(16)
    stage.host.settle()  # what is cached of flows that were changed
    with stage.witness(*more) as witness:
        witness.control()
        send(mark)
        witness.control()
        return dict(witness.places(mark))


def repaired(stage: Stage, expected: list[tuple[str, str, str]], table: int) -> bool:
    return sorted(found(stage.host, table)) == sorted(expected)


@contextmanager
def tampered(stage: Stage) -> Iterator[None]:
    """The agent of hv1 stands still for the block; afterwards a new one adopts and audits what is there."""
    agent = stage.scenario.control.agents["hv1"]
    agent.freeze()
    try:
        yield
    finally:
        agent.kill()
        agent.start()


def test_without_the_guard_the_spoofed_frames_arrive(stage: Stage) -> None:
    """Mutation: these tests can fail. The agent is stopped, the guard lets all pass; the audit repairs it."""
    before, friend = found(stage.host, GUARD), stage.friends[0]

    def attack(mark: bytes) -> None:
        inject(stage.attacker.vm, "eth0", spoofed(stage, mark))

    with tampered(stage):
        assert after(stage, attack) == {}
        refusals = [m for _, m, actions in before if actions == "drop" and ",reg1=" in m]
        assert len(refusals) == 5  # one a local port
        lines = "".join(f"table={GUARD},{m},actions=goto_table:{SERVICES}\n" for m in refusals)
        stage.host.ofctl("mod-flows", "--strict", stage.host.management, "-", stdin=lines)
        assert after(stage, attack) == {friend.name: 3}
    until("the guard is back", lambda: repaired(stage, before, GUARD), 30)
    assert after(stage, attack) == {}


@pytest.mark.parametrize("check", ["tun_id", "tun_src"])
def test_without_the_tunnel_check_the_forged_frames_arrive(stage: Stage, check: str) -> None:
    """Mutation: the pair of outer source and VNI, one half at a time."""
    red1, red2 = stage.attacker, stage.friends[0]
    right, here = vni(stage.scenario, "red"), stage.host.vtep_address
    before = found(stage.host, CLASSIFY)

    def attack(mark: bytes) -> None:
        lie = (stage.other.vtep_address, _UNUSED_VNI) if check == "tun_id" else ("172.16.77.1", right)
        forge(stage.scenario.lab.reflectors[0], [Forgery(lie[0], here, lie[1], inner(red1, red2, mark))])

    with tampered(stage):
        assert after(stage, attack, red1) == {}
        ((cookie, match, actions),) = [f for f in before if f",tun_id={right:#x}," in f[1]]
        weaker = re.sub(rf"{check}=[^,]*,", "", match)
        assert weaker != match
        stage.host.ofctl("del-flows", "--strict", stage.host.management, f"table={CLASSIFY},{match}")
        flow = f"cookie={cookie},table={CLASSIFY},{weaker},actions={actions}"
        stage.host.ofctl("add-flow", stage.host.management, flow)
        assert after(stage, attack, red1) == {red1.name: 1}
    until("the check is back", lambda: repaired(stage, before, CLASSIFY), 30)
    assert after(stage, attack, red1) == {}
