"""Remote: drives a lab that a holder keeps, over its control socket.

Place: under `python -m topologies` and the demo. Must not assume that the lab lives: every call may fail.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from topologies import directory
from topologies.directory import SOCKET
from topologies.errors import LabError
from topologies.process import Outcome

_ANSWER_TIMEOUT = 60.0
_GRACE = 30.0
_CHUNK = 1 << 16

Document = dict[str, Any]
Sink = Callable[[str, str], None]
"""Takes ("stdout" | "stderr", text) as it comes."""


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """A node of a held lab; good as an endpoint of `topologies.traffic`."""

    lab: Remote
    name: str
    pid: int

    def attempt(self, command: str | Sequence[str], timeout: float = 60.0) -> Outcome:
        """Run to the end; a string goes to `sh -ec`. Exit code 124 if it took too long."""
        words = ["sh", "-ec", command] if isinstance(command, str) else list(command)
        return self.lab.run(self.name, words, timeout)


@dataclass(frozen=True, slots=True)
class Remote:
    """A lab by name; nothing is connected until asked."""

    name: str

    def status(self) -> Document:
        """See holder.status; LabError if the lab is not up."""
        found = next(self._ask({"op": "status"}, _ANSWER_TIMEOUT))["status"]
        assert isinstance(found, dict)
        return found

    def nodes(self) -> dict[str, RemoteNode]:
        """All nodes by name."""
        return {n["name"]: RemoteNode(self, n["name"], n["pid"]) for n in self.status()["nodes"]}

    def stream(self, node: str, command: Sequence[str], timeout: float, sink: Sink) -> int:
        """Run a command in a node, hand its output to `sink` as it comes; returns the exit code."""
        request = {"op": "exec", "node": node, "command": list(command), "timeout": timeout}
        for answer in self._ask(request, timeout + _GRACE):
            if "exit" in answer:
                return int(answer["exit"])
            sink(answer["stream"], answer["data"])
        raise LabError(f"lab {self.name} went down while {command[0]} ran")

    def run(self, node: str, command: Sequence[str], timeout: float = 60.0) -> Outcome:
        """Run a command in a node to its end."""
        parts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        started = time.monotonic()
        code = self.stream(node, command, timeout, lambda stream, text: parts[stream].append(text))
        return Outcome(code, "".join(parts["stdout"]), "".join(parts["stderr"]), time.monotonic() - started)

    def down(self) -> None:
        """Take the lab down and wait until it is gone."""
        next(self._ask({"op": "down"}, _ANSWER_TIMEOUT))

    def _ask(self, request: Document, timeout: float) -> Iterator[Document]:
        """Send a request; yield the answers until the holder hangs up. LabError for its errors."""
        path = directory.place(self.name) / SOCKET
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            try:
                connection.connect(str(path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                for line in _lines(connection):
                    answer = json.loads(line)
                    if "error" in answer:
                        raise LabError(answer["error"])
                    yield answer
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise LabError(f"no lab {self.name} is up") from error
            except (TimeoutError, ConnectionError) as error:
                raise LabError(f"lab {self.name} does not answer: {error}") from error


def _lines(connection: socket.socket) -> Iterator[bytes]:
    data = b""
    while part := connection.recv(_CHUNK):
        *lines, data = (data + part).split(b"\n")
        yield from lines
    if data:
        raise LabError("the holder broke off in the middle of an answer")
