"""Declaration: what is said of a table before it has any flow.

Place: filled by the files of tables. Must not hold a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.flow import Field


@dataclass(frozen=True, slots=True)
class Table:
    """`matches` and `writes`: all that its flows may use; `next`: tables that its flows may go to;
    `again`: tables in which connection tracking lets a packet begin anew, before or behind this one;
    `miss`: what the flow of priority 0 does, in words."""

    number: int
    name: str
    purpose: str
    matches: tuple[Field, ...]
    writes: tuple[Field, ...]
    next: tuple[str, ...]
    miss: str
    again: tuple[str, ...] = ()
