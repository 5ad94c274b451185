"""Carrying: commands of the core that change nothing of the loop's own, put into the hands of its effects.

Place: under `controller.agent.loop`, in its thread. Must not decide what the core can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from controller.agent import commands, living
from controller.agent.effects import Effects, Meter
from model.snapshot import Snapshot
from pipelines import cookies


def carry_out(command: commands.Command, effects: Effects, before: Snapshot, now: Snapshot) -> None:
    """Do what a command says. `before` still knows what goes with it; `now` is held to already."""
    speaker = effects.speaker
    match command:
        case commands.Program():
            effects.switch.program(command.patch)
        case commands.CloseAccounts():
            effects.meter.close(before, command.ports, command.links)
        case commands.CloseCounters():
            effects.meter.close_flows(before, command.cookies)
        case commands.Shift():
            work = partial(effects.switch.program, command.patch)
            effects.meter.shift(now, command.ports, work, before)
        case commands.CloseLinks():
            effects.switch.close_links(command.links)
        case commands.Zones():
            effects.switch.bound(command)
        case commands.Tell():
            for port, frame in command.frames:
                effects.post.send(port, frame)
        case commands.Announce() if speaker is not None:
            speaker.announce(command.routes)
        case commands.Withdraw() if speaker is not None:
            speaker.withdraw(command.routes)
        case commands.Relearn() if speaker is not None:
            speaker.learn(command.interest, command.targets)
        case commands.Bind():
            effects.keeper.bind(command.port, command.uid, command.least)
        case commands.Release():
            effects.keeper.unbind(command.port, command.uid)


@dataclass(frozen=True, slots=True)
class Care:
    """What an audit has to ask for before it touches flows on which bills depend."""

    meter: Meter
    snapshot: Snapshot

    def closing(self, doomed: tuple[int, ...]) -> None:
        """Counters with these cookies are swept next: read them for the last time."""
        self.meter.close_flows(self.snapshot, doomed)

    def shifting(self, moving: frozenset[int], absent: frozenset[int], work: Callable[[], None]) -> None:
        """Do `work`, which moves the pass of the data path in which is counted what flows with these cookies
        are for. Ports whose own flows were `absent` have no traffic yet.
        """
        ports = {port for cookie in moving for port in living.counted(self.snapshot, cookie)}
        standing = tuple(sorted(port for port in ports if cookies.port(port) not in absent))
        if standing:
            self.meter.shift(self.snapshot, standing, work)
        else:
            work()
