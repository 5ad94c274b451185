"""Refusal: an error as CNI has it, with its code.

Place: raised anywhere in this folder, printed by `main`. Must not print or exit.
"""

from __future__ import annotations

# CNI specification 1.1.0, section 5, "Error". 100 and above are a plugin's own.
INCOMPATIBLE = 1
UNSUPPORTED = 2
NO_CONTAINER = 3
ENVIRONMENT = 4
INPUT_OUTPUT = 5
UNDECODABLE = 6
BAD_CONFIG = 7
LATER = 11
UNAVAILABLE = 50
LIMITED = 51
AMISS = 100
"""CHECK: what the container has is not what it should have."""
BLOCKED = 101
"""The interface can't be given, and trying again won't help."""
INTERNAL = 999


class Refusal(Exception):
    """`message` names the object and the rule, `details` the remedy."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
