"""Upload: takes the egress journal to the API, on a thread of its own.

Place: woken by the meter; posts to POST /v1/usage over the API's unix socket, or by `post` over TLS. Nothing
is lost while the API is away: frames stay in the journal till the API says that they are in the ledger. Must
not change them.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol

from accounting.encode import Plain, parse_step, plain
from accounting.frames import Frame
from accounting.journal import Journal, Refused
from accounting.records import Closed, Ended
from controller.agent.withheld import Held, Withheld
from model.ids import HostName

LOG: Final = logging.getLogger(__name__)
PATH: Final = "/v1/usage"
BATCH: Final = 500
"""Records in one request."""
_FRAMES: Final = 64
TIMEOUT: Final = 30.0
"""Seconds without a byte."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
_IDLE: Final = 30.0
_ANSWER: Final = 1 << 20
_NEVER: Final = frozenset({400, 413, 422})
"""Answers that will be the same next time: the batch is cut until the record at fault stands alone."""
_NOT_YOURS: Final = 403
"""The host's certificate lacks the name under which something was counted; its next one may have it."""


class Post(Protocol):
    """One request: the HTTP status and the answer's text. OSError or HTTPException if there is none."""

    def __call__(self, body: bytes) -> tuple[int, bytes]: ...


@dataclass(frozen=True, slots=True)
class UnixPost:
    """Posts to the API's socket."""

    socket_path: Path

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        connection.sock = sock
        try:
            sock.connect(str(self.socket_path))
            return exchange(connection, body)
        finally:
            sock.close()


def exchange(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    """One request over what is connected: see Post."""
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read(_ANSWER)


class Uploader:
    """`wake` may be called from any thread; `stop` ends the thread after the request under way."""

    def __init__(
        self, journal: Journal, host: HostName, post: Post, refused: Path, jitter: random.Random
    ) -> None:
        """`refused`: file for records that the API will never take, one JSON a line, fsynced."""
        self._journal, self._host, self._post = journal, host, post
        self._refused, self._jitter = refused, jitter
        directory = journal.directory
        self._withheld = Withheld(directory.with_name(f"{directory.name}-withheld.jsonl"))
        self._again = 0.0
        self._condition = threading.Condition()
        self._woken = self._stopping = self._failing = False
        self._pause = _FIRST_PAUSE
        self._thread = threading.Thread(target=self._run, name="usage-upload", daemon=True)

    def start(self) -> None:
        """Begin to upload; what earlier lives left behind goes first."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def stop(self) -> None:
        """End the thread; what is not uploaded stays in the journal."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def wait_idle(self, timeout: float) -> bool:
        """Whether all that is journalled now reaches the ledger within `timeout` seconds."""
        self.wake()
        with self._condition:
            return self._condition.wait_for(
                lambda: not self._journal.backlog and not self._withheld.names, timeout
            )

    @property
    def withheld(self) -> Held:
        """What waits for a certificate with the name under which it was counted."""
        return self._withheld.held

    def _run(self) -> None:
        while True:
            try:
                more = self._upload_once()
                pause = 0.0 if more else _IDLE
                self._recovered()
            except (OSError, http.client.HTTPException, _TryLater) as error:
                pause = self._failed(error)
            except Exception:
                # A bug here must cost a delay, never the agent or a byte.
                LOG.exception("egress upload failed host=%s", self._host)
                pause = _LONGEST_PAUSE
            with self._condition:
                self._condition.notify_all()
                # While failing, new records don't hurry us: the pause is what spares a struggling API.
                waits = (lambda: self._stopping) if self._failing else (lambda: self._stopping or self._woken)
                self._condition.wait_for(waits, pause)
                self._woken = False
                if self._stopping:
                    return

    def _upload_once(self) -> bool:
        """Carry up to _FRAMES frames; True if there may be more."""
        self._offer_again()
        frames = self._journal.pending(_FRAMES)
        if not frames:
            return False
        last = frames[-1].number
        records = [found for frame in frames for found in self._records(frame)]
        if not records:
            self._journal.skip(last)
            return True
        # By the name that the host bore then: what was sent under it already must be known as the same.
        kept: list[tuple[HostName, Plain]] = []
        for host, some in groupby(records, key=lambda found: found[0]):
            named = [record for _, record in some]
            for start in range(0, len(named), BATCH):
                batch = named[start : start + BATCH]
                if not self._carry(host, batch):
                    kept += ((host, record) for record in batch)
        # Only once all the rest is through: what has to wait for the API comes again as a whole.
        self._withheld.add(kept)
        result = self._journal.acknowledge(last)
        if isinstance(result, Refused):
            LOG.warning("egress upload not noted host=%s: %s", self._host, result.reason)
        return True

    def _records(self, frame: Frame) -> Iterator[tuple[HostName, Plain]]:
        try:
            step = parse_step(frame.body)
        except ValueError:
            LOG.exception("egress journal holds a step that can't be read host=%s", self._host)
            return
        for record in step.records:
            if not isinstance(record, (Closed, Ended)):
                yield step.run.host, plain(record)

    def _offer_again(self) -> None:
        """What was withheld, now and then: this host may have got another certificate."""
        now = time.monotonic()
        if self._withheld.names and now >= self._again:
            self._again = now + _LONGEST_PAUSE
            self._withheld.offer(self._carry, BATCH)

    def _carry(self, host: HostName, records: Sequence[Plain]) -> bool:
        """Post; a batch that is refused for good is halved until the culprit is alone, and put aside.

        False: this host may not speak for an earlier name of its own; nothing else has to wait for that.
        """
        status, answer = self._post(_body(host, records))
        if status == 200:
            self._note_conflicts(answer)
        elif status == _NOT_YOURS and host != self._host:
            if host not in self._withheld.names:
                LOG.error("egress withheld host=%s counted-as=%s: %s", self._host, host, answer[:500])
            return False
        elif status not in _NEVER:
            raise _TryLater(f"the API answers {status}: {answer[:200]!r}")
        elif len(records) > 1:
            middle = len(records) // 2
            parts = (records[:middle], records[middle:])
            return all(self._carry(host, part) for part in parts)
        else:
            self._set_aside(host, records[0], status, answer)
        return True

    def _note_conflicts(self, answer: bytes) -> None:
        try:
            conflicts = json.loads(answer)["conflicts"]
        except (ValueError, KeyError, TypeError) as error:
            raise _TryLater(f"the API's answer is not understood: {answer[:200]!r}") from error
        if conflicts:
            LOG.error("egress ledger holds other content host=%s records=%d", self._host, len(conflicts))

    def _set_aside(self, host: HostName, record: Plain, status: int, answer: bytes) -> None:
        LOG.error("egress record refused host=%s status=%d: %s", self._host, status, answer[:500])
        line = json.dumps({"host": host, "record": record}, separators=(",", ":"))
        with open(self._refused, "a") as out:
            out.write(line + "\n")
            out.flush()
            os.fsync(out.fileno())

    def _failed(self, error: Exception) -> float:
        """The pause before the next try: doubled each time, with jitter so that hosts don't come together."""
        if not self._failing:
            backlog = self._journal.backlog
            LOG.warning("egress upload waits host=%s backlog=%d: %s", self._host, backlog, error)
        self._failing = True
        pause = self._pause * (0.5 + self._jitter.random())
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return pause

    def _recovered(self) -> None:
        if self._failing:
            LOG.info("egress upload goes on host=%s", self._host)
        self._failing, self._pause = False, _FIRST_PAUSE


class _TryLater(Exception):
    """The API answered, but not with a receipt."""


def _body(host: HostName, records: Sequence[Plain]) -> bytes:
    batch: dict[str, Any] = {"host": host, "records": list(records)}
    return json.dumps(batch, separators=(",", ":")).encode()
