"""Settings of the API process.

Place: made by the `ringfenced` command from flags and its settings file. Must not hold secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`store`: remote of the store. `group`: may use the socket, if it exists. `ledger`: SQLAlchemy URL."""

    store: str = "unix:/run/ringfence/store.sock"
    socket: Path = Path("/run/ringfence/api.sock")
    group: str = "ringfence"
    ledger: str = "sqlite:////var/lib/ringfence/ledger.db"
    concurrency: int = 128
