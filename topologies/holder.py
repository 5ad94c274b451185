"""The holder: a background process that builds a lab, keeps it, and serves its control socket until `down`.

Place: started by `up`; whoever ends it, by whatever signal, ends the lab. Must not be reachable by anyone but
root: its socket lies in the lab's directory with mode 0600.

Protocol on the socket `lab.sock`, one request a connection, both sides lines of JSON:
 {"op": "status"} -> {"status": {...}}
 {"op": "exec", "node": N, "command": [...], "timeout": S} -> {"stream": "stdout"|"stderr", "data": text}...
   {"exit": code}; a caller that hangs up has its command killed
 {"op": "down"} -> {"down": true}, after which everything is gone
 anything wrong -> {"error": sentence}
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from topologies.catalog import Entry, Scenario
from topologies.cell import Streams
from topologies.directory import SOCKET
from topologies.errors import LabError
from topologies.fabrics import Plan
from topologies.lab import Lab, say_on_stderr

_BACKLOG = 32
_REQUEST_LIMIT = 1 << 20
_CHUNK = 1 << 16
_POLL = 0.5
_LATE = 124
"""Exit code of a command that took too long, as timeout(1) has it."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A lab that is up; `scenario` is None for a fabric without the product."""

    entry: Entry
    lab: Lab
    scenario: Scenario | None


def hold(name: str, entry: Entry, plan: Plan, bare: str) -> int:
    """Build the lab, serve until told to go down or until a SIGTERM; the exit code is 0 or 1.

    `bare`: "bare" for the fabric alone. Progress and errors go to stderr, which `up` made the lab's log.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        held = _build(name, entry, plan, bare)
    except LabError as error:
        say_on_stderr(f"failed: {error}")
        return 1
    try:
        _serve(held)
    finally:
        held.lab.close()
    return 0


def _build(name: str, entry: Entry, plan: Plan, bare: str) -> Held:
    if bare:
        if entry.fabric is None:
            raise LabError(f"{entry.name} shows the product: it can't be bare")
        return Held(entry, entry.fabric(name, plan, say_on_stderr), None)
    scenario = entry.build(name, plan, say_on_stderr)
    try:
        scenario.settle()
    except BaseException:
        say_on_stderr(scenario.lab.logs())
        scenario.lab.close()
        raise
    return Held(entry, scenario.lab, scenario)


def _serve(held: Held) -> None:
    """Accept until `down`. Each connection has its own thread, so that an exec never blocks a status."""
    over = threading.Event()
    path = held.lab.directory.path / SOCKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
        listener.settimeout(_POLL)
        say_on_stderr("ready")
        leaving: list[socket.socket] = []
        while not over.is_set():
            try:
                caller, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=_answer, args=(held, caller, over, leaving), daemon=True).start()
    held.lab.close()
    for caller in leaving:
        _send(caller, {"down": True})
        caller.close()


def _answer(held: Held, caller: socket.socket, over: threading.Event, leaving: list[socket.socket]) -> None:
    keep = False
    try:
        request = json.loads(_line(caller))
        match request.get("op"):
            case "status":
                _send(caller, {"status": status(held)})
            case "exec":
                _execute(held.lab, caller, request)
            case "down":
                keep = True
                leaving.append(caller)
                over.set()
            case other:
                _send(caller, {"error": f"no operation {other!r}"})
    except (LabError, ValueError, KeyError, TypeError, AttributeError) as error:
        _send(caller, {"error": str(error)})
    except OSError:
        pass  # The caller hung up: nobody is left to tell.
    finally:
        if not keep:
            caller.close()


def status(held: Held) -> Document:
    """Plain data about the lab: nodes with process ids, daemons, workloads, sockets."""
    lab, scenario = held.lab, held.scenario
    nodes = [
        {
            "name": n.name,
            "kind": type(n).__name__,
            "pid": n.pid,
            "daemons": {d: ("running" if daemon.running else "ended") for d, daemon in n.daemons.items()},
            "address": n.underlay,
        }
        for n in lab.nodes.values()
    ]
    return {
        "name": lab.name,
        "topology": held.entry.name,
        "directory": str(lab.directory.path),
        "seconds": round(time.monotonic() - lab.started, 1),
        "holder": os.getpid(),
        "api": f"unix:{scenario.control.api_socket}" if scenario else None,
        "links": {host: list(end) for host, end in lab.links.items()},
        "nodes": nodes,
        "workloads": scenario.describe() if scenario else [],
        "advice": scenario.advice() if scenario else "",
    }


def _execute(lab: Lab, caller: socket.socket, request: Document) -> None:
    """Run a command in a node and stream it; ends with its exit code, 124 if it took too long."""
    node = lab.node(str(request["node"]))
    command = [str(w) for w in request["command"]]
    if not command:
        raise LabError("exec: no command")
    timeout = float(request.get("timeout", 60.0))
    process = node.spawn(command, Streams())
    end = time.monotonic() + timeout
    try:
        code = _LATE if _stream(process, caller, end) else _await_end(process, end)
    finally:
        _kill(process)
    if code == _LATE:
        _send(caller, {"stream": "stderr", "data": f"not over after {timeout:g} s: killed\n"})
    _send(caller, {"exit": code})


def _await_end(process: subprocess.Popen[bytes], end: float) -> int:
    """The exit code of a command that has closed its streams, in the shell's way: 128 + signal."""
    try:
        code = process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return _LATE
    return code if code >= 0 else 128 - code


def _stream(process: subprocess.Popen[bytes], caller: socket.socket, end: float) -> bool:
    """Pass output on until both pipes are closed; True if `end` came first. OSError if the caller left."""
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        selector.register(process.stderr, selectors.EVENT_READ, "stderr")
        selector.register(caller, selectors.EVENT_READ, "caller")
        while len(selector.get_map()) > 1:
            left = end - time.monotonic()
            if left <= 0:
                return True
            for key, _ in selector.select(min(left, _POLL)):
                if key.data == "caller":
                    raise ConnectionAbortedError("the caller hung up")
                data = os.read(key.fd, _CHUNK)
                if data:
                    _send(caller, {"stream": key.data, "data": data.decode(errors="replace")})
                else:
                    selector.unregister(key.fileobj)
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command's whole process group if it still runs."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
        process.wait(5)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _line(caller: socket.socket) -> bytes:
    """The request: everything up to the first newline, 1 MiB at most."""
    caller.settimeout(10.0)
    data = b""
    while not data.endswith(b"\n"):
        part = caller.recv(_CHUNK)
        if not part or len(data) > _REQUEST_LIMIT:
            raise LabError("a request is one line of JSON")
        data += part
    caller.settimeout(None)
    return data


def _send(caller: socket.socket, document: Document) -> None:
    caller.sendall(json.dumps(document).encode() + b"\n")


def _terminate(_signal: int, _frame: object) -> None:
    sys.exit(0)
