"""A subnet that OpenSM would manage, in memory: what it makes of its file, and what its ports then show.

Place: under the product's own driver in tests; `tests.fakes.opensm` reads the file as OpenSM does, with all
its guesses. Says nothing of sweeps, and nothing of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ipam.fabric import opensm as module
from ipam.fabric.managers import Seen, Standing
from ipam.fabric.opensm import Clock, OpenSm
from model.fabric import FULL_MEMBER, Guid
from tests.fakes.opensm import DEFAULT, read

SM = Guid(0x0002C90300000001)


def _nothing(_: str) -> None:
    return None


@dataclass
class FakeSubnet:
    """`shown`: tables of ports; `away`: those that do not answer. `deaf`: OpenSM does not run. `go` is called
    before and after each thing that lasts."""

    path: Path
    shown: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    away: set[Guid] = field(default_factory=set)
    deaf: bool = False
    go: Callable[[str], None] = _nothing
    sent: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    said: tuple[Seen, ...] | None = (Seen(SM, Standing.MASTER),)
    now: float = 0.0
    reads: int = 0

    def driver(self) -> OpenSm:
        """The real one, which asks this subnet."""
        clock = Clock(lambda: self.now, self.sleep)
        pid_file = self.path.with_name("pid")
        return OpenSm(self.path, pid_file, SM, (SM,), self, clock, patience=0.2)  # type: ignore[arg-type]

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Instead of signals to a process; and files are written with a step before and after."""
        publish = module.publish

        def stepping(path: Path, wanted: object) -> None:
            self.go("publish")
            publish(path, wanted)  # type: ignore[arg-type]
            self.go("published")

        patch.setattr(module, "reload", self.reload)
        patch.setattr(module, "alive", lambda _: not self.deaf)
        patch.setattr(module, "publish", stepping)

    def sleep(self, seconds: float) -> None:
        """Time passes for nobody else."""
        self.now += seconds

    def reload(self, _: Path) -> bool:
        """As OpenSM after SIGHUP: of each port what changed since it was last sent."""
        if self.deaf:
            return False
        self.go("reload")
        self.sweep()
        self.go("reloaded")
        return True

    def sweep(self) -> None:
        """Reads the file, and sends tables."""
        text = self.path.read_text() if self.path.exists() else ""
        found = read(text)
        for guid in self.shown:
            table = self._table(guid, found.members, found.flags)
            if guid not in self.away and self.sent.get(guid) != table:
                self.sent[guid] = self.shown[guid] = table

    def _table(
        self, guid: Guid, members: dict[int, dict[str | int, bool]], flags: dict[int, set[str]]
    ) -> tuple[int, ...]:
        if DEFAULT not in members:
            return (DEFAULT | FULL_MEMBER,)
        mine = [
            (pkey != DEFAULT and "indx0" not in flags.get(pkey, ()), pkey == DEFAULT, pkey, those)
            for pkey, those in members.items()
            if guid in those or "ALL" in those
        ]
        return tuple(
            pkey | (FULL_MEMBER if those.get(guid, those.get("ALL", False)) else 0)
            for _, _, pkey, those in sorted(mine, key=lambda each: each[:3])
        )

    def table(self, guid: Guid) -> tuple[int, ...] | None:
        """As a port answers."""
        return None if guid in self.away else self.shown.get(guid)

    def tables(self, guids: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
        """Of many ports."""
        self.reads += 1
        return {guid: self.table(guid) for guid in guids}

    def managers(self) -> tuple[Seen, ...] | None:
        """As they are told."""
        return None if self.deaf else self.said
