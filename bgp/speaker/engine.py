"""ExaBGP 5.0.15 with EVPN taught to it: with `intake` the only file that imports exabgp.

Place: `python -m bgp.speaker.engine FILE`, the relay's child. It adds three commands to ExaBGP's API
(`announce evpn NEXT-HOP NLRI ATTRIBUTES`, `withdraw evpn NLRI`, both in hex, and `mark evpn WORD`, `eor
evpn PEER`, `refresh evpn`), carries routes as the bytes that our codec made, and hands received UPDATEs on
unread, so that nothing a peer sends is parsed here. Must not know what a route means.

Why so: ExaBGP has no grammar for EVPN; its EVPN classes shift VNIs, lose the PMSI's and refuse IPv6 next hops
(any of which would reset a session); its command queue is quadratic. Every seam is checked before start, with
bytes: if ExaBGP is not as expected, the process ends and says what differs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from importlib.metadata import version
from typing import Any, Final

from exabgp.application.main import main as run_exabgp
from exabgp.bgp.message import Action
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.refresh import RouteRefresh
from exabgp.bgp.message.update import Update
from exabgp.bgp.message.update.attribute import Attributes
from exabgp.bgp.message.update.nlri import NLRI
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI, Family
from exabgp.reactor import peer
from exabgp.reactor.api import API
from exabgp.reactor.api.command.command import Command
from exabgp.reactor.delay import Delay
from exabgp.reactor.network import outgoing
from exabgp.rib.change import Change
from exabgp.rib.outgoing import OutgoingRIB

from bgp.codec import nlri
from bgp.codec import update as codec
from bgp.codec.malformed import Malformed
from bgp.speaker import intake
from bgp.speaker.configuration import RELAY_VARIABLE, RETRY_VARIABLE

VERSION: Final = "5.0.15"
FAMILY: Final = (AFI.l2vpn, SAFI.evpn)
LONGEST_DELAY: Final = 10
"""Seconds between attempts to reach a peer, if the settings say nothing: a reflector that was away for long
is not to wait a minute."""
SYNS: Final = 2
"""SYNs said again to a peer that does not answer: 7 s, then a new connection. The kernel's own pauses grow to
a minute."""
_SELF_TEST_SIZE: Final = 4096
_PR_SET_PDEATHSIG: Final = 1


class _Hop:
    """A next hop as ExaBGP asks for it: 4 or 16 octets, sent as they are."""

    SELF = False

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self.afi = AFI.ipv4 if len(packed) == 4 else AFI.ipv6

    def ton(self, *_: object) -> bytes:
        return self._packed

    def index(self) -> bytes:
        return self._packed


class _Route(NLRI):  # type: ignore[misc] # ExaBGP is untyped
    """An EVPN NLRI as bytes; its index is the route key (RFC 7432 section 7), so that a new label
    replaces.
    """

    def __init__(self, raw: bytes, hop: bytes, action: int) -> None:
        NLRI.__init__(self, AFI.l2vpn, SAFI.evpn, action)
        self._raw_bytes = raw
        self._key = nlri.key(raw)
        self.nexthop = _Hop(hop)

    def index(self) -> bytes:
        return self._key

    def pack_nlri(self, _negotiated: object = None) -> bytes:
        return self._raw_bytes

    def __str__(self) -> str:
        return f"evpn {self._raw_bytes.hex()}"

    __repr__ = __str__


class _Fields(Attributes):  # type: ignore[misc] # ExaBGP is untyped
    """Path attributes as bytes; nothing is added to them."""

    def __init__(self, raw: bytes) -> None:
        Attributes.__init__(self)
        self._raw_bytes = raw

    def pack(self, *_: object, **__: object) -> bytes:
        return self._raw_bytes

    def index(self) -> str:
        return self._raw_bytes.hex()

    def __str__(self) -> str:
        return f" attributes {self._raw_bytes.hex()}"

    __repr__ = __str__


def announce(words: list[str]) -> Change:
    """`NEXT-HOP NLRI ATTRIBUTES` in hex; `-` stands for nothing."""
    hop, raw, fields = (bytes.fromhex("" if word == "-" else word) for word in words)
    if len(hop) not in (4, 16):
        raise ValueError("a next hop has 4 or 16 octets")
    nlri.decode(raw)
    return Change(_Route(raw, hop, Action.ANNOUNCE), _Fields(fields))


def withdraw(words: list[str]) -> Change:
    """`NLRI` in hex. A withdrawal bears no attributes (RFC 4760 section 4)."""
    (raw,) = (bytes.fromhex(word) for word in words)
    nlri.decode(raw)
    return Change(_Route(raw, bytes(4), Action.WITHDRAW), _Fields(b""))


def file(rib: OutgoingRIB, change: Change) -> None:
    """Put a change into the outgoing RIB in place of any that waits under the same key.

    ExaBGP sorts what waits by attributes, so an older one could otherwise be sent after a newer one.
    """
    key, family = change.index(), change.nlri.family().afi_safi()
    waiting = rib._new_nlri.get(key)
    if waiting is not None:
        rib._new_attr_af_nlri.get(waiting.attributes.index(), {}).get(family, {}).pop(key, None)
    rib.add_to_rib(change, True)


def read_update(data: bytes, direction: int, negotiated: Any) -> Update:
    """What ExaBGP makes of an UPDATE: framing is checked (RFC 4271 section 6.3), content is not read.

    The relay gets the bytes before; a malformed route costs that route, never the session (RFC 7606).
    """
    del direction, negotiated
    Update.split(data)
    return Update([], Attributes())


def _on_change(parse: Any) -> Any:
    def command(api: Any, reactor: Any, _service: str, line: str, _json: object) -> bool:
        try:
            change = parse(line.split()[2:])
        except (ValueError, Malformed) as fault:
            api.log_failure(f"evpn: {line[:200]}: {fault}")
            return False
        for neighbor in reactor.configuration.neighbors.values():
            file(neighbor.rib.outgoing, change)
        return True

    return command


def _mark(_api: Any, reactor: Any, service: str, line: str, _json: object) -> bool:
    """Tell the relay that every command before this one was taken."""
    word = line.split()[2]
    reactor.processes.write(service, f'{{"type": "mark", "word": "{word}"}}')
    return True


def _end_of_rib(_api: Any, reactor: Any, _service: str, line: str, _json: object) -> bool:
    """Queue End-of-RIB behind the routes that wait for a peer (RFC 4724 section 2)."""
    peer = line.split()[2]
    for neighbor in reactor.configuration.neighbors.values():
        if str(neighbor["peer-address"]) == peer and not neighbor.eor:
            neighbor.eor.append(Family(*FAMILY))
    return True


def _refresh(_api: Any, reactor: Any, _service: str, _line: str, _json: object) -> bool:
    """Ask every peer to send its routes again (RFC 2918)."""
    for neighbor in reactor.configuration.neighbors.values():
        neighbor.refresh.append(RouteRefresh(*FAMILY))
    return True


class _Delay(Delay):  # type: ignore[misc] # ExaBGP is untyped
    """ExaBGP's growing pause between attempts, with an end to its growth."""

    def increase(self) -> None:
        Delay.increase(self)
        self._next: int = min(self._next, int(os.environ.get(RETRY_VARIABLE, LONGEST_DELAY)))


_create = outgoing.create


def _socket(*words: Any) -> Any:
    """As ExaBGP makes one, but that it gives up sooner on a peer that does not answer."""
    made = _create(*words)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, SYNS)
    return made


def install() -> None:
    """Put the commands, the reader, the pause and the socket in place."""
    peer.Delay = _Delay
    outgoing.create = _socket
    Command.register("announce evpn")(_on_change(announce))
    Command.register("withdraw evpn")(_on_change(withdraw))
    Command.register("mark evpn")(_mark)
    Command.register("eor evpn")(_end_of_rib)
    Command.register("refresh evpn")(_refresh)
    Update.unpack_message = staticmethod(read_update)
    intake.install()


def check() -> list[str]:
    """What of ExaBGP is not as expected; empty if all seams hold. Call after `install`."""
    found = [] if version("exabgp") == VERSION else [f"version is {version('exabgp')}, not {VERSION}"]
    expected = (
        (OutgoingRIB, ("add_to_rib", "updates", "replace_restart", "cached_changes")),
        (API, ("process", "response", "log_failure")),
        (Update, ("split", "messages")),
        (Delay, ("increase", "reset", "backoff")),
        (outgoing, ("create", "connect", "ready")),
        *intake.SEAMS,
    )
    for owner, names in expected:
        found.extend(f"{owner.__name__} has no {name}" for name in names if not hasattr(owner, name))
    pause = _Delay()
    if not hasattr(pause, "_next") or not hasattr(peer, "Delay"):
        found.append("the pause between attempts is not Delay._next")
    return found or _self_test()


class _Session:
    """As much of a negotiated session as packing a message needs."""

    families = (FAMILY,)
    msg_size = _SELF_TEST_SIZE


def _self_test() -> list[str]:
    """Routes through ExaBGP's RIB and encoder, compared with our codec's bytes."""
    rd, hop = bytes(range(8)), bytes((192, 0, 2, 1))
    bodies = [rd + bytes(14) + b"\x30\x02\x00\x00\x00\x00\x01\x00" + bytes((0, 0, vni)) for vni in (7, 8)]
    first, second = (bytes((2, len(body))) + body for body in bodies)
    fields = bytes.fromhex("4001010040020040050400000064")
    rib = OutgoingRIB(True, {FAMILY})
    try:
        log.init(getenv())
        for raw in (first, second):
            file(rib, announce([hop.hex(), raw.hex(), fields.hex()]))
        sent = [m for update in rib.updates(False) for m in update.messages(_Session())]
        if len(list(rib.cached_changes({FAMILY}))) != 1:
            return ["the outgoing RIB does not replace by route key"]
        file(rib, withdraw([second.hex()]))
        gone = [m for update in rib.updates(False) for m in update.messages(_Session())]
        read = Update.unpack_message(sent[0][19:], Direction.IN, None)
    except Exception as fault:  # noqa: BLE001 - whatever differs, the answer is to refuse to start
        return [f"self-test ends in {fault!r}"]
    expected = codec.join(codec.Parts(reach=(second,), next_hop=hop, rest=fields))
    faults = (
        []
        if [codec.split(m[19:]) for m in sent] == [codec.split(expected)]
        else ["announcement bytes differ"]
    )
    if [codec.split(m[19:]) for m in gone] != [codec.Parts(unreach=(second,))]:
        faults.append("withdrawal bytes differ")
    return faults + (["received UPDATEs are still parsed"] if read.nlris else [])


def _die_with_parent() -> None:
    """End with the relay, whatever ends it: an ExaBGP without one would hold sessions that nobody hears."""
    failed = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if failed or str(os.getppid()) != os.environ[RELAY_VARIABLE]:
        sys.exit("the relay is gone")


def main() -> int:
    """Check every seam, then be ExaBGP."""
    _die_with_parent()
    install()
    faults = check()
    if faults:
        sys.stderr.write(f"exabgp is not as expected: {'; '.join(faults)}. Install exabgp=={VERSION}.\n")
        return 78  # EX_CONFIG: the relay does not try again
    sys.argv = ["exabgp", "server", sys.argv[1]]
    return int(run_exabgp() or 0)


if __name__ == "__main__":
    sys.exit(main())
