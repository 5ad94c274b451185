"""The speaker's one thread: sockets, signals and the ExaBGP child, around `Relay`.

Place: the effects of the speaker. It restarts ExaBGP whenever it ends, with growing pauses, and ends
itself only on SIGTERM or SIGINT, or if ExaBGP is not as expected. Must not interpret what it carries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import bgp
from bgp import wire
from bgp.speaker import configuration, places, silence
from bgp.speaker.link import Link
from bgp.speaker.relay import Relay
from bgp.speaker.ribs import Outgoing
from bgp.speaker.settings import Settings

LOG: Final = logging.getLogger(__name__)

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_STEADY: Final = 30.0
"""An ExaBGP that ran for so many seconds is started again without a pause; one that does not reach the relay
within them is killed."""
_FAREWELL: Final = 3.0
_LOOK: Final = 3.0
"""Seconds between looks at why a peer is not up; said when two in a row agree."""
_UNFIT: Final = 78
"""Exit code of an engine that found ExaBGP to be other than expected (EX_CONFIG of sysexits.h)."""


@dataclass(slots=True)
class Child:
    """A running ExaBGP. `pidfd` becomes readable when it ends."""

    process: subprocess.Popen[bytes]
    pidfd: int
    since: float


@dataclass(slots=True)
class Loop:
    """The selector and all that is registered in it; each registration's data says whose it is."""

    settings: Settings
    relay: Relay
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    child: Child | None = None
    start_at: float = 0.0
    pause: float = _SHORTEST_PAUSE
    look_at: float = 0.0
    silent: Mapping[str, silence.Silence] | None = None
    """At the last look; None when all peers were up, or since a peer went."""
    stopping: bool = False
    code: int = 0

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(places.lock(self.settings.directory))
            agents = stack.enter_context(places.listen(self.settings.socket, 0o600))
            engines = stack.enter_context(
                places.listen(self.settings.directory / configuration.ENGINE_SOCKET, 0o600)
            )
            signals = stack.enter_context(places.signals())
            for stream, name in ((agents, "agents"), (engines, "engines"), (signals, "signals")):
                self.selector.register(stream, selectors.EVENT_READ, name)
            stack.callback(self._end_child)
            stack.callback(self._close_links)
            while not self.stopping:
                self._turn()
        return self.code

    def _turn(self) -> None:
        self._tend_child()
        self._look()
        self.relay.pump()
        for name, link in (("agent", self.relay.agent), ("engine", self.relay.engine)):
            if link is not None:
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.out else 0)
                self.selector.modify(link.stream, wanted, name)
        for key, events in self.selector.select(self._timeout()):
            if key.data in ("agent", "engine"):
                self._serve(key.data, events)
            elif key.data == "child":
                self._reap()
            elif key.data == "signals":
                self.stopping = True
            elif isinstance(key.fileobj, socket.socket):
                self._accept(key.data, key.fileobj)
        agent = self.relay.agent
        if agent is not None and agent.waiting > self.settings.queue:
            self._drop("agent", f"it has not read {agent.waiting} octets")

    def _timeout(self) -> float | None:
        due = [self.look_at] if self.relay.lacking else []
        if self.child is None:
            due.append(self.start_at)
        elif self.relay.engine is None:
            due.append(self.child.since + _STEADY)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _look(self) -> None:
        """Why are peers not up?"""
        now = time.monotonic()
        if not self.relay.lacking or self.relay.engine is None:
            self.silent, self.look_at = None, now + _LOOK
        elif now >= self.look_at:
            seen, before = silence.silent(self.settings.port), self.silent
            if before is not None:
                self.relay.look({peer: how for peer, how in seen.items() if before.get(peer) is how})
            self.silent, self.look_at = seen, now + _LOOK

    def _serve(self, name: str, events: int) -> None:
        link = self.relay.agent if name == "agent" else self.relay.engine
        hear = self.relay.agent_said if name == "agent" else self.relay.engine_said
        if link is None:
            return
        try:
            if events & selectors.EVENT_READ:
                lines = link.hear()
                if lines is None:
                    self._drop(name, "it closed the connection")
                    return
                for line in lines:
                    hear(line)
            if events & selectors.EVENT_WRITE:
                link.send()
        except (OSError, wire.Broken, AttributeError, LookupError, TypeError, ValueError) as fault:
            self._drop(name, f"{type(fault).__name__}: {fault}")

    def _accept(self, name: str, listener: socket.socket) -> None:
        try:
            stream, _ = listener.accept()
        except OSError as fault:
            LOG.warning("connection not taken from=%s fault=%s", name, fault)
            return
        stream.setblocking(False)
        taken = self.relay.agent if name == "agents" else self.relay.engine
        if taken is not None:
            with contextlib.suppress(OSError):
                stream.send(wire.pack(ev="refused", text="another agent is attached; stop it first"))
            stream.close()
            return
        link = Link(stream)
        self.selector.register(stream, selectors.EVENT_READ, "agent" if name == "agents" else "engine")
        if name == "agents":
            self.relay.agent_came(link)
        else:
            self.relay.engine_came(link)

    def _drop(self, name: str, reason: str) -> None:
        link = self.relay.agent if name == "agent" else self.relay.engine
        if link is None:
            return
        self.selector.unregister(link.stream)
        link.close()
        if name == "agent":
            self.relay.agent_left(reason)
            return
        self.relay.engine_left(f"exabgp lost: {reason}")
        if self.child is not None:
            self.child.process.kill()  # its events are lost from here on: only a new one is whole

    def _tend_child(self) -> None:
        now = time.monotonic()
        if self.child is None and now >= self.start_at:
            try:
                self._start_child(now)
            except OSError as fault:
                self._wait_longer(now)
                LOG.error("exabgp not started fault=%s next_start_in=%.1f", fault, self.pause)
        elif self.child is not None and self.relay.engine is None and now >= self.child.since + _STEADY:
            LOG.error("exabgp does not reach the relay pid=%d", self.child.process.pid)
            self.child.process.kill()
            self.child.since = now

    def _start_child(self, now: float) -> None:
        path = self.settings.directory / "exabgp.conf"
        helper = Path(__file__).with_name("pipe.py")
        places.write(path, configuration.text(self.settings, helper))
        places.write(self.settings.directory / configuration.EMPTY_FILE, "")
        user = pwd.getpwuid(os.getuid()).pw_name
        process = subprocess.Popen(
            [sys.executable, "-m", "bgp.speaker.engine", str(path)],
            cwd=Path(bgp.__file__).parent.parent,
            env={**configuration.environment(self.settings, os.environ), "exabgp_daemon_user": user},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        self.child = Child(process, os.pidfd_open(process.pid), now)
        self.selector.register(self.child.pidfd, selectors.EVENT_READ, "child")
        LOG.info("exabgp started pid=%d", process.pid)

    def _reap(self) -> None:
        if self.child is None:
            return
        child, self.child = self.child, None
        self.selector.unregister(child.pidfd)
        os.close(child.pidfd)
        code = child.process.wait()
        self._drop("engine", f"it ended with code {code}")
        if code == _UNFIT:
            self.stopping, self.code = True, _UNFIT
            return
        now = time.monotonic()
        if now - child.since > _STEADY:
            self.pause = _SHORTEST_PAUSE
        self._wait_longer(now)
        LOG.error(
            "exabgp ended pid=%d code=%d next_start_in=%.1f", child.process.pid, code, self.start_at - now
        )

    def _wait_longer(self, now: float) -> None:
        self.start_at = now + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)

    def _end_child(self) -> None:
        if self.child is None:
            return
        self.child.process.terminate()
        try:
            self.child.process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self.child.process.kill()
            self.child.process.wait()
        os.close(self.child.pidfd)

    def _close_links(self) -> None:
        for link in (self.relay.agent, self.relay.engine):
            if link is not None:
                link.close()


def serve(settings: Settings) -> int:
    """Run the speaker; returns its exit code."""
    places.prepare(settings.directory)
    return Loop(settings, Relay(settings, Outgoing(settings.max_routes))).run()
