"""Book: the last receipts of the audits on disk, so that a restart of the agent does not make them unseen.

Place: read by the loop at start, written by a thread when an audit has mended something. A file that can't be
read, or is another host's, counts as empty: receipts help people, and nothing is decided by them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from controller.agent import private, receipts
from controller.agent.scribe import Scribe
from model.ids import HostName
from model.report import DriftReceipt, parse_receipts, render_receipts
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)


class Book:
    """`path`: the file; `host`: whose receipts they are. `kept`: the last ones, oldest first."""

    def __init__(self, path: Path, host: HostName) -> None:
        self._path = path
        self._host = host
        self._scribe = Scribe(self._write, f"receipts host={host} path={path}")
        self.kept = self._load()

    def record(
        self, mended: Iterable[receipts.Mended], snapshot: Snapshot, now_ms: int
    ) -> tuple[DriftReceipt, ...]:
        """Keep what an audit has mended, in the names of now; all that are kept. Waits for no disk."""
        made = tuple(receipts.receipt(item, snapshot, now_ms) for item in mended)
        if made:
            self.kept = receipts.keep(self.kept, made)
            self._scribe.save(self.kept)
        return self.kept

    def stop(self) -> None:
        """Write what waits."""
        self._scribe.stop()

    def _load(self) -> tuple[DriftReceipt, ...]:
        """Those of the last life."""
        try:
            plain = json.loads(self._path.read_text())
            if plain["host"] != self._host:
                raise ValueError(f"they are of host {plain['host']!a}")
            return parse_receipts(plain["receipts"])
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            LOG.warning("receipts passed over host=%s path=%s: %s", self._host, self._path, error)
            return ()

    def _write(self, kept: tuple[DriftReceipt, ...]) -> None:
        """Atomically: temporary file, fsync, rename."""
        part = self._path.with_suffix(".part")
        with open(part, "w", encoding="utf-8", opener=private.opener) as out:
            json.dump({"host": self._host, "receipts": json.loads(render_receipts(kept))}, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, self._path)
