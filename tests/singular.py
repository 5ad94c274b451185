"""Singular: what tells this test process from every other on the machine, in names that all of them see.

Place: in the names of labs, network namespaces and directories that tests make. A process id would not do:
in a PID namespace of its own, which `make` gives every run, all count from one. Must not be used for choices.
"""

from __future__ import annotations

import secrets
from typing import Final

RUN: Final = secrets.token_hex(3)
"""Six hexadecimal digits."""
