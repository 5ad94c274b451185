"""Driver: does what the schedule says to the arena, and mends it when its time has come.

Place: between the schedule and the arena; notes what it did, for the verdict. Must not look at the ledger,
nor wait for anything that a fault need not have mended.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines import cookies
from pipelines.tables import number
from tests.integration.product.extra import document, lead_out
from tests.torture import layout
from tests.torture.arena import Arena, classes, containers, exchange, floating
from tests.torture.layout import HOSTS, Stream
from tests.torture.schedule import PARTS, Fault, Kind
from tests.torture.traffic import Traffic
from topologies import faults
from topologies.deadline import until
from topologies.errors import CommandFailed
from topologies.nodes.hypervisor import plug, unplug
from topologies.scenarios.outside import EXTERNAL
from topologies.scenarios.two_tenants import Workload
from topologies.wallclock import set_offset

_CLASS, _TAKEN = number("class"), (number("classify"), number("account"))
_COOKIE = re.compile(r"cookie=(0x[0-9a-f]+)")
_PATIENCE = 20.0
"""Seconds that a move or a change may take while other things are broken; then all is mended for it."""
_SETTLED = 90.0
_LOOK = 1.0
_WAYS = (Kind.PEERING, Kind.ROUTE, Kind.NAT, Kind.FLOATING)
"""What moves whether packets are counted (docs/decisions/0051)."""
_FILLING = "filling"
_LIMITED = ("red/vm1", "blue/vm2", "green/vm1", "red/far1", "green/far1", "blue/roamer")
_FURTHEST = 86_400.0
Mend = Callable[[], None]


@dataclass(slots=True)
class _Open:
    """Something that is broken, and when it is to be mended (monotonic seconds)."""

    due: float
    mend: Mend


@dataclass(slots=True)
class _Leaving:
    """A VM whose port has moved away; it is unplugged once its host has closed it."""

    old: Workload
    streams: tuple[Stream, ...]


@dataclass
class Driver:
    """`kills`: of switches, by host; `shifts`: changes that move a counting pass or a class; `gone`: how
    often the destination of each way went."""

    arena: Arena
    traffic: Traffic
    say: Callable[[str], None]
    kills: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    shifts: int = 0
    gone: Counter[str] = field(default_factory=Counter)
    unwritten: Counter[str] = field(default_factory=Counter)
    """How often an agent was killed while its disk was full, by host."""
    _open: dict[str, _Open] = field(default_factory=dict)
    _leaving: list[_Leaving] = field(default_factory=list)
    _on: dict[str, bool] = field(default_factory=dict)
    _offsets: dict[str, float] = field(default_factory=lambda: dict.fromkeys(HOSTS, 0.0))
    _moves: int = 0
    _looked: float = 0.0
    _wandering: str = layout.STORAGE
    _spare: tuple[str, ...] = ()

    def run(self, schedule: Iterable[Fault], count: int) -> None:
        """All of it, with a line each."""
        began = time.monotonic()
        for fault in schedule:
            self.tend()
            what = self._strike(fault)
            self.done[fault.kind.word] += 1
            rate = fault.number / (time.monotonic() - began) * 60
            self.say(
                f"{fault.number}/{count} {fault.kind.word} {what} ({rate:.0f}/min, open: {[*self._open]})"
            )
            self._wait(fault.pause)

    def tend(self) -> None:
        """Mend what is due, and let go of VMs that have moved away."""
        now = time.monotonic()
        for key in [key for key, broken in self._open.items() if broken.due <= now]:
            self._mend(key)
        if now - self._looked < _LOOK:
            return
        self._looked = now
        for leaving in list(self._leaving):
            with suppress(CommandFailed):  # the API is on its way, perhaps
                if self._closed(leaving.old):
                    self._let_go(leaving)

    def heal(self) -> None:
        """Mend everything, set the clocks, and wait until all moves are over and all hosts in sync."""
        for host in HOSTS:
            self._step(host, -self._offsets[host])
        for key in sorted(self._open):
            self._mend(key)
        until("every host is in sync", self._in_sync, _SETTLED)
        for leaving in list(self._leaving):
            until(f"{leaving.old.name} is closed", lambda one=leaving: self._closed(one.old), _SETTLED)
            self._let_go(leaving)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self.tend()

    def _strike(self, fault: Fault) -> str:
        host = HOSTS[fault.place % len(HOSTS)]
        match fault.kind:
            case Kind.AGENT:
                return self._kill(f"agent {host}", self.arena.control.agents[host], fault.lasts)
            case Kind.SPEAKER:
                return self._kill(f"speaker {host}", self.arena.control.speakers[host], fault.lasts)
            case Kind.SWITCH:
                return self._kill_switch(host, min(fault.lasts, 2.0))
            case Kind.REFLECTOR:
                return self._kill_reflector(fault)
            case Kind.CENTRE:
                return self._cut_centre(PARTS[fault.place % len(PARTS)], fault.lasts)
            case Kind.DISK:
                return self._fill(host, fault.lasts)
            case Kind.CLOCK:
                return self._step(host, fault.step)
            case Kind.MOVE:
                return self._move(fault)
            case _:
                return self._change(fault)

    def _break(self, key: str, lasts: float, mend: Mend) -> None:
        self._open[key] = _Open(time.monotonic() + lasts, mend)

    def _mend(self, key: str) -> None:
        broken = self._open.pop(key, None)
        if broken is not None:
            broken.mend()

    def _kill(self, key: str, daemon, lasts: float) -> str:
        self._mend(key)
        if daemon.running:
            daemon.kill()
        place = key.partition(" ")[2]
        if key.startswith("agent") and f"disk {place}" in self._open:
            self.unwritten[place] += 1
        self._break(key, lasts, daemon.launch)
        return f"{key} for {lasts:.1f} s"

    def _kill_switch(self, host: str, lasts: float) -> str:
        key, node = f"switch {host}", self.arena.host(host)
        self._mend(key)
        faults.kill_switch(node)
        self.kills[host] += 1
        self._break(key, lasts, lambda: faults.revive_switch(node))
        return f"{host} for {lasts:.1f} s"

    def _kill_reflector(self, fault: Fault) -> str:
        reflectors = self.arena.lab.reflectors
        one = reflectors[fault.place % len(reflectors)]
        key = f"reflector {one.name}"
        self._mend(key)
        one.kill()
        self._break(key, fault.lasts, one.revive)
        return f"{one.name} for {fault.lasts:.1f} s"

    def _cut_centre(self, part: str, lasts: float) -> str:
        self._mend("centre")
        control = self.arena.control
        chosen = [d for name, d in (("store", control.store), ("api", control.api)) if part in (name, "both")]
        for daemon in chosen:
            daemon.kill()

        def revive() -> None:
            for daemon in chosen:
                daemon.start() if daemon is control.store else daemon.launch()

        self._break("centre", lasts, revive)
        return f"{part} for {lasts:.1f} s"

    def _fill(self, host: str, lasts: float) -> str:
        """Until nothing fits any more, with blocks that get smaller."""
        key, path = f"disk {host}", self.arena.state(host) / _FILLING
        self._mend(key)
        with path.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
        self._break(key, lasts, lambda: path.unlink())
        return f"{host} for {lasts:.1f} s"

    def _step(self, host: str, step: float) -> str:
        offset = self._offsets[host] + step
        if abs(offset) > _FURTHEST:
            offset = 0.0
        self._offsets[host] = offset
        set_offset(self.arena.clock(host), offset)
        return f"{host} by {step:+.1f} s, now {offset:+.1f} s off"

    def _move(self, fault: Fault) -> str:
        """The VM runs at another host, and goes on sending there; the old one is closed under traffic."""
        tenant, port = layout.ROAMERS[fault.place % len(layout.ROAMERS)]
        name = f"{tenant}/{port}"
        self._finish_moves(name)
        here = self.arena.member(name)
        to = [host for host in HOSTS if host != here.host][fault.other % (len(HOSTS) - 1)]
        for key in (f"switch {to}", f"switch {here.host}"):
            self._mend(key)
        self._need_centre()
        self._moves += 1
        vm = self.arena.lab.vm(f"roam{self._moves}")
        there = replace(here, host=to, vm=vm, ifname=f"tap-{vm.name}")
        plug(self.arena.host(to), vm, there.ifname, here.uid, here.mac, here.cidrs)
        for cidr in here.cidrs:
            lead_out(vm, cidr)
        sent, received = self._of(name)
        self.traffic.attend(vm, sent)
        self._tell("migrate", port, "--tenant", tenant, "--to", to, "--activate")
        for stream in sent:
            self.traffic.send_from(stream, vm)
        for stream in received:
            self.traffic.receive_at(stream, vm)
            self.gone[stream.way.source] += 1
        self.arena.members[name] = there
        self._leaving.append(_Leaving(here, sent))
        return f"{name} from {here.host} to {to}"

    def _of(self, name: str) -> tuple[tuple[Stream, ...], tuple[Stream, ...]]:
        all_of = layout.streams()
        sent = tuple(stream for stream in all_of if stream.way.source == name)
        return sent, tuple(stream for stream in all_of if stream.way.target == name)

    def _finish_moves(self, name: str) -> None:
        """Before it moves again it has to have arrived, and be closed where it was."""
        mine = [each for each in self._leaving if f"{each.old.tenant}/{each.old.port}" == name]
        for leaving in mine:
            end = time.monotonic() + _PATIENCE
            while leaving in self._leaving and time.monotonic() < end:
                self._wait(0.3)
            if leaving in self._leaving:
                self.heal()

    def _closed(self, old: Workload) -> bool:
        """Whether its old host has read it for the last time, and let its flows go."""
        if {f"switch {old.host}", "centre"} & self._open.keys():
            return False
        if self._flows_of(old):
            return False
        # a switch that was started just now has no flows of a port that stays either
        (found,) = self.arena.control.get("port", old.port, "--tenant", old.tenant)
        return bool(found["status"].get("host") == self.arena.member(f"{old.tenant}/{old.port}").host)

    def _flows_of(self, old: Workload) -> bool:
        """Whether its old host's switch takes or counts what it sends: counters go once their last reading is
        on disk. A switch without any flow was started anew, and nobody has looked at it yet.
        """
        key, host = self.arena.keys[f"{old.tenant}/{old.port}"], self.arena.host(old.host)
        text = "".join(host.ofctl("dump-flows", host.management, f"table={n}") for n in _TAKEN)
        found = [cookies.parse(int(cookie, 16)) for cookie in _COOKIE.findall(text)]
        return not any(found) or any(each is not None and each.port == key for each in found)

    def _let_go(self, leaving: _Leaving) -> None:
        self._leaving.remove(leaving)
        old = leaving.old
        self.traffic.dismiss(old.vm, f"{old.tenant}/{old.port}")
        unplug(self.arena.host(old.host), old.ifname)

    def _change(self, fault: Fault) -> str:
        self._need_centre()
        if fault.kind in _WAYS:
            self.shifts += 2  # by the store's word, and by that of a peer
        match fault.kind:
            case Kind.CLASS:
                return self._wander()
            case Kind.PREFIXES:
                count = fault.place % 5
                self._spare = tuple(f"198.19.{(fault.other + n) % 256}.0/24" for n in range(count))
                self._apply(classes(self._wandering, self._spare))
                self.shifts += 1
                return f"{count} more"
            case Kind.LIMIT:
                return self._limit(_LIMITED[fault.place % len(_LIMITED)], fault)
            case Kind.PEERING:
                self.gone["blue/far2"] += 1
                return self._toggle("peering", exchange())
            case Kind.ROUTE:
                self.gone["green/vm1"] += 1
                return self._toggle("route", containers(self.arena))
            case Kind.NAT:
                on = self._on["nat"] = not self._on.get("nat", True)
                self.gone["green/vm2"] += 1
                spec = {"egress": "snat", "external": EXTERNAL} if on else {"egress": "none"}
                self._apply([document("Tenant", "green", spec)])
                return f"green {'by a gateway' if on else 'no more'}"
            case Kind.FLOATING:
                self.gone["blue/vm3"] += 1
                return self._toggle("floating", floating())
            case _:
                pools = {"pools": ["100.64.9.0/24"]}
                return self._toggle("external", [document("External", "spare", pools)], on=False)

    def _need_centre(self) -> None:
        """It answers, whatever was done to it."""
        self._mend("centre")
        until("the centre answers", lambda: self.arena.control.run("get", "tenants").ok, _SETTLED)

    def _toggle(self, key: str, documents: list[dict[str, Any]], on: bool = True) -> str:
        """Take away what is there, or put it there; `on`: whether it is there at first."""
        there = self._on.get(key, on)
        self._on[key] = not there
        if not there:
            self._apply(documents)
            return f"{key} comes"
        self._tell("delete", "-f", "-", stdin=_text(documents))
        return f"{key} goes"

    def _limit(self, name: str, fault: Fault) -> str:
        tenant, _, port = name.partition("/")
        rate = ("none", 50_000, 90_000)[fault.other % 3]
        (found,) = self.arena.control.get("port", port, "--tenant", tenant)
        found.pop("status", None)
        self._apply([found | {"spec": found["spec"] | {"rateOut": rate}}])
        self.shifts += 1
        return f"{name} {rate}"

    def _wander(self) -> str:
        """What was sent last is pending still when the class changes; what is sent next has the new one."""
        for key in [key for key in self._open if key.startswith(("agent", "switch", "centre"))]:
            self._mend(key)
        now = layout.PARTNER if self._wandering == layout.STORAGE else layout.STORAGE
        all_of = [s for s in layout.streams() if s.way.addresses == layout.WANDERING_AT]
        self.traffic.hold(all_of)
        self._drain(all_of)
        self._wandering = now
        self._apply(classes(now, self._spare))
        self.shifts += 1
        until(f"{now} has what wanders", lambda: self._turned(now), _SETTLED)
        self.traffic.resume([s for s in all_of if s.way.name == now])
        return f"{layout.WANDERING[0]} is {now}"

    def _turned(self, now: str) -> bool:
        """By the switch of those who send there: `--wait` calls a host dead whose clock is off."""
        (found,) = self.arena.control.get("egressclass", now)
        wanted = f"{found['status']['id']:#x}->reg3"
        host = self.arena.host(self.arena.member("green/vm4").host)
        lines = host.ofctl("dump-flows", host.management, f"table={_CLASS}").splitlines()
        return all(any(prefix in one and wanted in one for one in lines) for prefix in layout.WANDERING)

    def _drain(self, streams: list[Stream]) -> None:
        """What was sent a moment ago is out of the VM's interface and the switch's socket."""
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            tallies = [self.traffic.tally(stream) for stream in streams]
            if all(tally.came == tally.sent for tally in tallies):
                return
            time.sleep(0.01)

    def _apply(self, documents: list[dict[str, Any]], *words: str) -> None:
        self._tell("apply", "-f", "-", *words, stdin=_text(documents))

    def _tell(self, *words: str, stdin: str = "") -> None:
        """Until it is done: store and API may be back just now. Said twice, each of these is the same."""
        end = time.monotonic() + _SETTLED
        while True:
            done = self.arena.control.run(*words, stdin=stdin)
            if done.ok or (words[0] == "delete" and "not-found" in done.stderr + done.stdout):
                return
            if time.monotonic() > end:
                raise CommandFailed(f"ringfence {' '.join(words)}: {done.stdout}{done.stderr}")
            self._wait(0.3)

    def _in_sync(self) -> bool:
        done = self.arena.control.run("status", "-o", "json")
        if not done.ok:
            return False
        states = {host["name"]: host["state"] for host in json.loads(done.stdout)["hosts"]}
        return all(states[host] == "in-sync" for host in HOSTS)


def _text(documents: list[dict[str, Any]]) -> str:
    return "".join(f"---\n{json.dumps(document)}\n" for document in documents)
