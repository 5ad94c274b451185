"""The relay: between one agent and ExaBGP, remembering for both, so that either may die alone.

Place: fed by `bgp.speaker.loop` with lines and endings; answers by queueing bytes on the two links. When
the agent dies, sessions and routes stay; when it returns it gets the peers' states and all that they have
said. When ExaBGP dies, the next one gets the agent's routes again, and the peers End-of-RIB behind them.
Of a peer without a session it tells why, as far as that can be seen from here. Must not do I/O of its own,
judge routes, or let either side grow its memory without bound.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bgp import interest, wire
from bgp.codec import nlri, update
from bgp.codec.malformed import Malformed
from bgp.interest import Interest
from bgp.speaker.link import Link
from bgp.speaker.notices import explain
from bgp.speaker.ribs import Announced, Incoming, Outgoing
from bgp.speaker.settings import Settings
from bgp.speaker.silence import Silence

LOG: Final = logging.getLogger(__name__)

_AHEAD: Final = 1 << 18
"""Octets queued ahead of a reader; the rest is made when they are taken."""
_SILENT: Final[Mapping[Silence, str]] = {
    Silence.SYN: "no answer to TCP: it is away, or filtered, or its MD5 password or TTL security is not ours",
    Silence.OPEN: "TCP connects, BGP gets no answer: its TTL security wants fewer hops, or a filter is there",
}
_CLOSED: Final = (
    "no session: the connection is refused or closed, or no route leads there; see that it runs and knows us"
)
_NO_WORDS: Final = "closing connection"
"""What ExaBGP says of an attempt that nothing came of; whoever looks knows more."""
_REPLAYS: Final = 16
"""Replays that wait; more than that become one of everything."""


@dataclass(slots=True)
class Relay:
    """All state of the speaker. `told`: peers that got End-of-RIB in their present session."""

    settings: Settings
    outgoing: Outgoing
    incoming: dict[str, Incoming] = field(default_factory=dict)
    """Peers that are up."""
    agent: Link | None = None
    engine: Link | None = None
    interest: Interest | None = None
    """What concerns the agent; None: everything."""
    told: set[str] = field(default_factory=set)
    replays: deque[Iterator[bytes]] = field(default_factory=deque)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a peer is not up, as last told."""
    ticket: int = 0
    """The agent's newest ticket."""
    marked: int = 0
    """The newest ticket that ExaBGP was asked to confirm."""

    def agent_came(self, link: Link) -> None:
        """Greet an agent: the peers' states; once it has said `begin`, what they have said follows."""
        self.agent = link
        self.interest = None
        self.ticket = self.marked = 0
        states = {str(one): "up" if str(one) in self.incoming else "down" for one in self.settings.peers}
        link.say(wire.pack(ev="hello", version=wire.VERSION, peers=states))
        for peer, reason in sorted(self.reasons.items()):
            self._tell(ev="peer", peer=peer, state="down", reason=reason)
        LOG.info("agent attached peers_up=%d", len(self.incoming))

    def agent_left(self, reason: str) -> None:
        """Sessions and routes stay as they are."""
        LOG.warning("agent left reason=%s routes=%d", reason, len(self.outgoing.routes))
        self.agent = None
        self.replays.clear()

    def agent_said(self, line: bytes) -> None:
        """One line of the agent; Broken if it is none of the protocol."""
        message = wire.unpack(line)
        kind = message.get("op")
        if kind == "announce":
            self._announce(message)
        elif kind == "withdraw":
            for one in _routes(message):
                self.outgoing.withdraw(_readable(wire.octets(one)))
            self._note(message)
        elif kind == "begin":
            self.outgoing.begin()
            self._want(message)
            self._replay(None)
        elif kind == "want":
            self._want(message)
        elif kind == "eor":
            LOG.info(
                "agent is complete routes=%d stale=%d", len(self.outgoing.routes), self.outgoing.finish()
            )
        elif kind == "refresh" and self.engine is not None:
            self.engine.say(b"refresh evpn\n")
        elif kind == "replay":
            targets = message.get("targets")
            self._replay(None if targets is None else frozenset(wire.octets(one) for one in targets))
        elif kind != "refresh":
            raise wire.Broken(f"unknown op {kind!r}")

    def engine_came(self, link: Link) -> None:
        """A new ExaBGP knows no route."""
        self.engine = link
        self.marked = 0
        self.outgoing.again()

    def engine_left(self, reason: str) -> None:
        """All sessions are lost."""
        self.engine = None
        for peer in sorted(self.incoming):
            self._peer_down(peer, reason)

    def engine_said(self, line: bytes) -> None:
        """One event of ExaBGP; Broken if it is not JSON."""
        message = wire.unpack(line)
        neighbor = message.get("neighbor")
        if message.get("type") == "update":  # as bgp.speaker.intake says it
            self._update(str(message["peer"]), wire.octets(message["raw"]))
        elif message.get("type") == "mark":
            self._tell(ev="ack", id=int(message["word"]))
        elif isinstance(neighbor, dict):
            peer = str(neighbor["address"]["peer"])
            if message.get("type") == "state":
                self._peer_state(peer, str(neighbor.get("state")), explain(str(neighbor.get("reason", ""))))

    @property
    def lacking(self) -> tuple[str, ...]:
        """Peers without a session."""
        return tuple(sorted({str(one) for one in self.settings.peers} - self.incoming.keys()))

    def look(self, silent: Mapping[str, Silence]) -> None:
        """Find why peers are not up; `silent`: those that have not answered an attempt."""
        for peer in self.lacking:
            if peer in silent:
                self._explain(peer, _SILENT[silent[peer]])
            elif peer not in self.reasons:  # what ExaBGP said of it says more
                self._explain(peer, _CLOSED)

    def _explain(self, peer: str, reason: str) -> None:
        if reason and self.reasons.get(peer) != reason:
            self.reasons[peer] = reason
            LOG.warning("peer is not up peer=%s reason=%s", peer, reason)
            self._tell(ev="peer", peer=peer, state="down", reason=reason)

    def pump(self) -> None:
        """Make what the two readers have room for."""
        if self.engine is not None:
            self._pump_engine(self.engine)
        while self.agent is not None and self.replays and self.agent.waiting < _AHEAD:
            line = next(self.replays[0], None)
            if line is None:
                self.replays.popleft()
            else:
                self.agent.say(line)

    def _pump_engine(self, link: Link) -> None:
        unsent = self.outgoing.unsent
        while unsent and link.waiting < _AHEAD:
            key = next(iter(unsent))
            one = unsent.pop(key)
            if isinstance(one, Announced):
                words = f"announce evpn {one.hop.hex()} {one.raw.hex()} {one.fields.hex() or '-'}\n"
            else:
                words = f"withdraw evpn {one.hex()}\n"
            link.say(words.encode())
        if unsent:
            return
        if self.outgoing.complete:
            for peer in sorted(self.incoming.keys() - self.told):
                self.told.add(peer)
                link.say(f"eor evpn {peer}\n".encode())
        if self.ticket > self.marked:
            self.marked = self.ticket
            link.say(f"mark evpn {self.ticket}\n".encode())

    def _announce(self, message: Mapping[str, Any]) -> None:
        for one in _routes(message):
            raw, hop, fields = (wire.octets(part) for part in one)
            if len(hop) not in (4, 16):
                raise wire.Broken(f"a next hop of {len(hop)} octets")
            if not self.outgoing.announce(Announced(_readable(raw), hop, fields)):
                text = f"more than {self.outgoing.limit} routes; raise max-routes of the speaker"
                self._tell(ev="error", id=message.get("id"), text=text)
        self._note(message)

    def _want(self, message: Mapping[str, Any]) -> None:
        self.interest = interest.unpack(message.get("want"))
        for rib in self.incoming.values():
            rib.look_again()

    def _note(self, message: Mapping[str, Any]) -> None:
        self.ticket = max(self.ticket, _number(message.get("id") or 0))

    def _replay(self, targets: frozenset[bytes] | None) -> None:
        if len(self.replays) == _REPLAYS:
            self.replays.clear()
            targets = None
        self.replays.append(self._lines(targets))

    def _lines(self, targets: frozenset[bytes] | None) -> Iterator[bytes]:
        for peer in sorted(self.incoming):
            rib = self.incoming.get(peer)
            for body in rib.replay(targets, self.interest) if rib is not None else ():
                if self.incoming.get(peer) is not rib:
                    break  # the session ended meanwhile, and the agent was told
                yield wire.pack(ev="update", peer=peer, raw=body.hex())
        yield wire.pack(ev="synced")

    def _peer_state(self, peer: str, state: str, reason: str) -> None:
        if state == "up":
            self.incoming[peer] = Incoming(self.settings.max_routes)
            self.told.discard(peer)
            self.reasons.pop(peer, None)
            LOG.info("peer up peer=%s", peer)
            self._tell(ev="peer", peer=peer, state="up", reason="")
        elif state == "down" and peer in self.incoming:
            self._peer_down(peer, reason)
        elif state == "down" and reason != _NO_WORDS:  # before it was up: a NOTIFICATION to our OPEN, say
            self._explain(peer, reason)

    def _peer_down(self, peer: str, reason: str) -> None:
        gone = self.incoming.pop(peer)
        self.told.discard(peer)
        self.reasons[peer] = reason
        LOG.warning("peer down peer=%s routes=%d reason=%s", peer, len(gone.routes), reason)
        self._tell(ev="peer", peer=peer, state="down", reason=reason)

    def _update(self, peer: str, body: bytes) -> None:
        rib = self.incoming.get(peer)
        if rib is None:
            return  # ExaBGP says `up` before it reads the first UPDATE
        over = rib.over
        told: bytes | None = body  # what can't be read is the agent's to count
        try:
            parts = update.split(body)
        except Malformed as fault:
            rib.malformed += 1
            if rib.malformed == 1:  # one line a session: a hostile peer must not write our log
                LOG.warning("malformed update peer=%s fault=%s", peer, fault)
        else:
            concerns = rib.take(parts, self.interest)
            told = concerns if not parts.fault else body
        if rib.over and not over:
            LOG.error("too many routes peer=%s limit=%d", peer, rib.limit)
        if told is not None:
            self._tell(ev="update", peer=peer, raw=told.hex())

    def _tell(self, **fields: Any) -> None:
        if self.agent is not None:
            self.agent.say(wire.pack(**fields))


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise wire.Broken(f"{type(value).__name__} where a whole number was expected")
    return value


def _routes(message: Mapping[str, Any]) -> list[Any]:
    routes = message.get("routes")
    if not isinstance(routes, list):
        raise wire.Broken("routes are not a list")
    return routes


def _readable(raw: bytes) -> bytes:
    """An NLRI that has a key; Broken for another."""
    try:
        nlri.check(raw)
    except Malformed as fault:
        raise wire.Broken(str(fault)) from None
    return raw
