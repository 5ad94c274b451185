"""Hold: what a driver of a fabric is asked, and the one for fabrics that have no partitions.

Place: between `course` and whatever does the work: OpenSm, UFM, nothing. Must not promise anything of ports
that nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ipam.fabric.opensm import Verdict
from ipam.fabric.partitions import Partitions
from model.fabric import Fabric, Guid


class Hold(Protocol):
    """Keeps a fabric's partitions as they are wanted."""

    def of(self, fabric: Fabric) -> Hold:
        """The same, for the fabric as it is declared now."""
        ...

    def hold(self, before: Partitions | None, wanted: Partitions, ports: Iterable[Guid]) -> Verdict:
        """Have the fabric be as wanted, and say what it is: `Verdict.tables` of all ports that are wanted,
        and of `ports`, as they were read after everything was done; None = no answer.

        `before`: what was wanted last time; None after a start, when nothing can have drifted. OSError,
        ValueError: nothing was changed, and nothing is known.
        """
        ...


class Idle:
    """For RoCE, whose rails its leaf switches keep apart. No gang with InfiniBand ports gets on by it."""

    def of(self, _: Fabric) -> Idle:
        """Itself."""
        return self

    def hold(self, before: Partitions | None, wanted: Partitions, ports: Iterable[Guid]) -> Verdict:
        """Nothing is done; ValueError if there is something to do."""
        if wanted.tenants or set(ports):
            raise ValueError("it holds no partitions, and gangs have InfiniBand ports: run opensm or ufm")
        return Verdict((), (), (), {}, ())
