"""Errors of labs: one sentence that says what is missing or late, and what to do.

Place: raised everywhere in topologies, printed by `__main__`. Must not log or exit.
"""

from __future__ import annotations


class LabError(Exception):
    """A lab can't be built, found or driven; the text is for a person."""


class CommandFailed(LabError):
    """A command in a node ended badly or too late; the text holds its output."""
