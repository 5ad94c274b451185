"""A soak: agents, speakers and reflectors killed at random while ports move, by a schedule that a seed makes.

Now and then, and at its end, every host's forwarding state is the truth: routes in use, and the flows of the
switch, are what the store says, no more and no less. At its end every trace is delivered and agrees with the
switches, every ping comes back, no process has logged an exception, and those that were not killed have not
grown. `make test-all` runs a few rounds; `make soak` goes on for half an hour. A seed tells a run again.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.tables import number
from tests.integration.product.witness import Guest, seat
from topologies.deadline import until
from topologies.fabrics import Plan
from topologies.lab import Lab, say_on_stderr
from topologies.nodes.frr import FrrNode
from topologies.nodes.hypervisor import Hypervisor, plug, unplug
from topologies.nodes.vm import Vm
from topologies.process import Daemon
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import NETWORK, TENANTS, TwoTenants, Workload
from topologies.traffic.ping import ping

SECONDS, SEED = (int(os.environ.get(f"RINGFENCE_SOAK_{name}", "0")) for name in ("SECONDS", "SEED"))
ROUNDS = 15
"""Of the short form."""
HOSTS = ("hv1", "hv2", "hv3")
RESOLVE = number("resolve")
_MOST_VICTIMS = 3
_SETTLED = 90.0
_ANSWERED = 10.0
_MARGIN = 900
_LOOK = 0.1
"""How often a round ends with a look at everything."""
_GROWTH = 64 << 20
"""Bytes by which API and store, which live through it all, may grow."""
_BRIDGED = re.compile(r"dl_dst=(02:[0-9a-f:]{14}) actions=.*set_field:([0-9.]+)->tun_dst")

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(SECONDS + _MARGIN)]


@dataclass(frozen=True, slots=True)
class Engine:
    """ExaBGP alone, which its relay starts again."""

    speaker: Daemon

    def kill(self) -> None:
        """Nothing if it is being started, or its relay was killed before it."""
        if self.speaker.running:
            pid = self.speaker.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)


Victim = Daemon | FrrNode | Engine


@dataclass
class Soak:
    """`roamers` move; the others stay. `idle`: VMs whose port has left them. `counts`: what was done, and how
    often, by kind."""

    scenario: TwoTenants
    chance: random.Random
    roamers: list[Workload]
    idle: list[Vm] = field(default_factory=list)
    moves: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def victims(self) -> list[tuple[str, Victim]]:
        control = self.scenario.control
        return [
            *((f"agent {name}", control.agents[name]) for name in HOSTS),
            *((f"speaker {name}", control.speakers[name]) for name in HOSTS),
            *((f"exabgp {name}", Engine(control.speakers[name])) for name in HOSTS),
            *((f"reflector {one.name}", one) for one in self.scenario.lab.reflectors),
        ]

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        print(f"{time.strftime('%H:%M:%S')} {kind} {what}", flush=True)

    def round(self) -> None:
        """Kill some; move a port meanwhile, perhaps; start them again in any order; await the port only."""
        chosen = self.chance.sample(self.victims(), self.chance.randint(1, _MOST_VICTIMS))
        for name, victim in chosen:
            self.note("kill", name)
            victim.kill()
        move = self.depart() if self.chance.random() < 0.6 else None
        self.chance.shuffle(chosen)
        for name, victim in chosen:
            match victim:
                case FrrNode():
                    victim.revive()
                case Daemon():
                    victim.start()
            print(f"started {name}", flush=True)
        if move is not None:
            self.arrive(*move)

    def depart(self) -> tuple[int, Workload]:
        """A roamer's port is to move, its VM runs at the new place."""
        number = self.chance.randrange(len(self.roamers))
        here = self.roamers[number]
        name = self.chance.choice([host for host in HOSTS if host != here.host])
        self.moves += 1
        self.note("move", f"{here.tenant}/{here.port} from {here.host} to {name}")
        vm = self.idle.pop() if self.idle else self.scenario.lab.vm(f"roam{self.moves}")
        ifname = f"tap-{vm.name}"
        plug(self.host(name), vm, ifname, here.uid, here.mac, here.cidrs)
        there = Workload(here.tenant, here.port, here.uid, here.mac, here.cidrs, name, vm, ifname)
        moving = self.scenario.control.run(
            "migrate", here.port, "--tenant", here.tenant, "--to", name, "--activate"
        )
        assert moving.ok, moving.stderr
        here.vm.run("ip link set eth0 down")
        return number, there

    def arrive(self, number: int, there: Workload) -> None:
        until(f"{there.name} lives on {there.host}", lambda: self.place(there) == there.host, _SETTLED)
        here, self.roamers[number] = self.roamers[number], there
        unplug(self.host(here.host), here.ifname)
        self.idle.append(here.vm)

    def host(self, name: str) -> Hypervisor:
        found = self.scenario.lab.node(name)
        assert isinstance(found, Hypervisor)
        return found

    def place(self, workload: Workload) -> str:
        (port,) = self.scenario.control.get("ports", workload.port, "--tenant", workload.tenant)
        return str(port["status"]["host"])

    def asked(self, *words: str) -> Any:
        done = self.scenario.control.run(*words, "-o", "json")
        assert done.ok, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def soak(_labs: Any) -> Soak:
    def build(name: str) -> tuple[Lab, TwoTenants]:
        made = two_tenants.build_bridged(name, Plan(len(HOSTS), reflectors=2), say_on_stderr)
        return made.lab, made

    scenario: TwoTenants = _labs.once(("soak",), build)
    moving = (("red", 71), ("red", 72), ("blue", 71))
    wanted = [Guest(tenant, NETWORK, f"roamer{n}", n, HOSTS) for tenant, n in moving]
    roamers = seat(scenario, wanted)
    scenario.await_reachability()
    return Soak(scenario, random.Random(SEED), roamers)


def truth(soak: Soak, host: str) -> set[tuple[str, str, str, tuple[str, ...]]]:
    """(network, MAC, VTEP, addresses) of each port that is bound elsewhere, as the store has it."""
    vteps = {str(h.name): h.vtep_address for h in soak.scenario.lab.hypervisors}
    return {
        (
            f"{port['metadata']['tenant']}/{port['spec']['network']}",
            port["spec"]["mac"],
            vteps[port["status"]["host"]],
            tuple(sorted(port["spec"]["addresses"])),
        )
        for port in soak.scenario.control.get("ports")
        if port["status"]["host"] != host
    }


def used(soak: Soak, host: str) -> set[tuple[str, str, str, tuple[str, ...]]]:
    """The same, as the host has it from EVPN."""
    items = soak.asked("evpn", "routes", "--host", host, "--type", "2")["items"]
    return {(i["network"], i["mac"], i["vtep"], tuple(sorted(i["addresses"]))) for i in items}


def bridged(soak: Soak, host: str) -> set[tuple[str, str]]:
    """(MAC, VTEP): to which tunnel the host's switch sends frames for which MAC."""
    node = soak.host(host)
    return set(_BRIDGED.findall(node.ofctl("dump-flows", node.management, f"table={RESOLVE}")))


def await_truth(soak: Soak) -> None:
    """Every host in sync, its routes and its switch's flows those that the store's bindings make."""

    def quiet() -> bool:
        return all(host["state"] == "in-sync" for host in soak.asked("status")["hosts"])

    until("every host is in sync", quiet, _SETTLED)
    for host in HOSTS:
        wanted = truth(soak, host)
        assert len(wanted) >= 2 * len(TENANTS)
        until(f"{host} uses what is true: {wanted}", lambda h=host, w=wanted: used(soak, h) == w, _SETTLED)
        pairs = {(mac, vtep) for _, mac, vtep, _ in wanted}
        until(f"{host} forwards so: {pairs}", lambda h=host, w=pairs: bridged(soak, h) == w, _SETTLED)


def resident(daemon: Daemon) -> int:
    """Bytes of memory (proc(5))."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))


def survivors(soak: Soak) -> dict[str, int]:
    """Memory of what nobody kills."""
    control = soak.scenario.control
    found = {"store": resident(control.store), "api": resident(control.api)}
    return found | {f"switch {name}": resident(soak.host(name).daemons["ovs-vswitchd"]) for name in HOSTS}


def test_forwarding_is_the_truth_after_it(soak: Soak) -> None:
    began, rounds, memory = time.monotonic(), 0, survivors(soak)
    while rounds < ROUNDS or time.monotonic() - began < SECONDS:
        soak.round()
        rounds += 1
        if soak.chance.random() < _LOOK:
            await_truth(soak)
            soak.note("look", f"after round {rounds}: all true; memory {survivors(soak)}")
    print(f"seed {SEED}: {rounds} rounds, {dict(soak.counts)} in {time.monotonic() - began:.0f} s")
    await_truth(soak)
    floods = {
        (i["host"], i["network"], i["vtep"]) for i in soak.asked("evpn", "routes", "--type", "3")["items"]
    }
    vteps = {str(h.name): h.vtep_address for h in soak.scenario.lab.hypervisors}
    assert floods == {
        (host, f"{tenant}/{NETWORK}", vteps[other])
        for host in HOSTS
        for other in HOSTS
        for tenant in TENANTS
        if host != other
    }
    for tenant in TENANTS:
        members = [*soak.scenario.of(tenant), *(r for r in soak.roamers if r.tenant == tenant)]
        for here in members:
            for there in members:
                if here is not there:
                    _reaches(soak, here, there)
    assert soak.asked("drift")["items"] == []
    _is_healthy(soak, memory)


def _is_healthy(soak: Soak, memory: dict[str, int]) -> None:
    """What was not killed has not grown; nothing has logged an exception."""
    now, control = survivors(soak), soak.scenario.control
    print("memory before and after:", {name: (memory[name], size) for name, size in now.items()})
    assert all(now[name] - memory[name] < _GROWTH for name in ("store", "api")), (memory, now)
    for daemon in (control.api, *control.agents.values(), *control.speakers.values()):
        text = daemon.log.read_text(errors="replace")
        assert text and "Traceback" not in text, f"{daemon.name}: {text[text.find('Traceback') :][:4000]}"


def _reaches(soak: Soak, here: Workload, there: Workload) -> None:
    way = f"{here.tenant}/{here.port}"
    traced = soak.scenario.control.run("trace", "--from", way, "--to", there.ipv4)
    assert traced.ok, f"{way} to {there.ipv4}: {traced.stdout}{traced.stderr}"
    for address in there.addresses:
        until(
            f"{here.name} reaches {address}",
            lambda a=address: ping(here.vm, a, 2, wait=0.5).reached,
            _ANSWERED,
        )
