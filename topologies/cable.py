"""Cable: a unix socket that leads to another one, and can be cut without either end noticing.

Place: between a product process and the store, for tests of a host that no longer reaches it. In a lab all
processes share the sockets' files, so that no fabric lies between them. Must not look at what it carries.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_POLL = 0.05
_CHUNK = 1 << 16


class Cable:
    """Listens at `path`, connects to `target` for each caller. A context manager."""

    def __init__(self, path: Path, target: Path) -> None:
        self._target = target
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._cut, self._halt, self._renew = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"cable-{path.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Cable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Nothing passes any more; connections stay, silent."""
        self._cut.set()

    def mend(self) -> None:
        """New connections pass; the silent ones are reset."""
        self._renew.set()
        self._cut.clear()

    def close(self) -> None:
        """End all connections."""
        self._halt.set()
        self._thread.join()
        self._reset()
        self._server.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._halt.is_set():
            if self._cut.is_set():
                self._halt.wait(_POLL)
                continue
            if self._renew.is_set():
                self._renew.clear()
                self._reset()
            for key, _ in self._selector.select(_POLL):
                if self._cut.is_set():
                    break
                if key.fileobj is self._server:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._carry(key.fileobj)

    def _accept(self) -> None:
        caller, _ = self._server.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(str(self._target))
        except OSError:
            caller.close()
            far.close()
            return
        self._pairs |= {caller: far, far: caller}
        for one in (caller, far):
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, source: socket.socket) -> None:
        target = self._pairs.get(source)
        if target is None:
            return
        try:
            data = source.recv(_CHUNK)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        self._end(source)

    def _end(self, one: socket.socket) -> None:
        other = self._pairs.pop(one)
        self._pairs.pop(other)
        for each in (one, other):
            with suppress(KeyError):
                self._selector.unregister(each)
            each.close()

    def _reset(self) -> None:
        while self._pairs:
            self._end(next(iter(self._pairs)))
