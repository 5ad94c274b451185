"""Settings of the API process.

Place: made by the `ringfenced` command from flags and its settings file. Must not hold secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.store.calling import Caller
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Papers
from model.addresses import Address
from model.intent import Policy

_USUAL: Final = Policy()


@dataclass(frozen=True, slots=True)
class Uploads:
    """Where agents on other hosts post, and with which papers they are met."""

    place: Endpoint
    papers: Papers


@dataclass(frozen=True, slots=True)
class Settings:
    """`store`: remote of the store. `caller`: for one over TLS. `group`: may use the socket, if it exists.
    `ledger`: SQLAlchemy URL; `keep_days`: so long it keeps single intervals (None: for ever). `uploads`:
    None: no TCP.

    `asn`, `reflectors`, `policy`, `site`: settings of the cluster, written into the store (`site` only into a
    new one).
    """

    store: str = "unix:/run/ringfence/store.sock"
    socket: Path = Path("/run/ringfence/api.sock")
    group: str = "ringfence"
    ledger: str = "sqlite:////var/lib/ringfence/ledger.db"
    keep_days: int | None = None
    uploads: Uploads | None = None
    concurrency: int = 128
    asn: int = 65000
    reflectors: tuple[Address, ...] = ()
    site: int = 0
    policy: Policy = _USUAL
    caller: Caller | None = None
