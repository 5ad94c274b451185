"""Settings of the speaker: flags or a JSON file, checked once, then typed.

Place: at the edge; everything behind it takes a `Settings`. Must not touch the network. A secret comes by
file only, never by flag, and is never logged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any, Final

from model.addresses import Address
from model.errors import Fault, Invalid

_KEYS: Final = (
    "router_id",
    "local_address",
    "asn",
    "peer",
    "socket",
    "dir",
    "md5_file",
    "hold",
    "restart",
    "retry",
    "hops",
    "port",
    "max_routes",
    "queue",
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "socket": "/run/ringfence/speaker.sock",
    "dir": "/run/ringfence/speaker",
    "hold": 90,
    "restart": 120,
    "retry": 10,
    "port": 179,
    "max_routes": 200_000,
    "queue": 64 << 20,
    "peer": (),
}
_MD5_LONGEST: Final = 80
"""Octets (TCP_MD5SIG_MAXKEYLEN)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`hold` and `restart` in seconds (RFC 4271 section 4.2, RFC 4724 section 3); `max_routes` per peer
    and in all announced; `retry`: longest pause between attempts to reach a peer, seconds; `hops`: TTL
    security (RFC 5082), None = none; `queue`: octets that may wait for the agent before it is let go. iBGP:
    peers have our `asn`.
    """

    router_id: IPv4Address
    local_address: Address
    asn: int
    peers: tuple[Address, ...]
    socket: Path
    directory: Path
    hold: int = 90
    restart: int = 120
    retry: int = 10
    hops: int | None = None
    port: int = 179
    max_routes: int = 200_000
    queue: int = 64 << 20
    md5: bytes | None = field(default=None, repr=False)


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from a command line; Invalid names each thing that is wrong."""
    parser = argparse.ArgumentParser(prog="ringfenced speaker", description="BGP EVPN speaker (ExaBGP)")
    parser.add_argument("--config", type=Path, help="JSON file with the same keys, dashes as underscores")
    parser.add_argument("--router-id", help="dotted, as declared for this Hypervisor")
    parser.add_argument("--local-address", help="address that the sessions come from")
    parser.add_argument("--asn", help="AS number of the cluster; the peers have the same")
    parser.add_argument("--peer", action="append", help="address of a route reflector; repeat for more")
    parser.add_argument("--socket", help="unix socket for the agent (PATH or unix:PATH)")
    parser.add_argument("--dir", help="directory for what the speaker generates")
    parser.add_argument("--md5-file", help="file with the TCP MD5 password (RFC 2385)")
    parser.add_argument("--hold", help="BGP hold time, seconds")
    parser.add_argument("--restart", help="graceful restart time, seconds")
    parser.add_argument("--retry", help="longest pause between attempts to reach a peer, seconds")
    parser.add_argument("--hops", help="TTL security (RFC 5082): peers are at most so many hops away")
    parser.add_argument("--port", help="TCP port of the peers")
    parser.add_argument("--max-routes", help="routes kept of each peer, and announced")
    parser.add_argument("--queue", help="octets that may wait for the agent")
    flags = vars(parser.parse_args(arguments))
    merged = dict(_DEFAULTS)
    if flags["config"] is not None:
        merged.update(_read(flags["config"]))
    merged.update({key: flags[key] for key in _KEYS if flags[key] is not None})
    return build(merged)


def build(values: Mapping[str, Any]) -> Settings:
    """Settings from raw values: all faults at once."""
    faults: list[Fault] = []
    asn = _number(values, "asn", range(1, 1 << 32), faults)
    hold = _number(values, "hold", range(3, 1 << 16), faults)
    restart = _number(values, "restart", range(1, 1 << 12), faults)
    retry = _number(values, "retry", range(1, 3601), faults)
    hops = None if values.get("hops") is None else _number(values, "hops", range(1, 255), faults)
    port = _number(values, "port", range(1, 1 << 16), faults)
    max_routes = _number(values, "max_routes", range(1, 10_000_001), faults)
    queue = _number(values, "queue", range(1 << 16, 1 << 32), faults)
    router_id = _address(values.get("router_id"), "router-id", faults)
    local = _address(values.get("local_address"), "local-address", faults)
    raw_peers = values.get("peer") or ()
    peers = [
        _address(one, "peer", faults) for one in ([raw_peers] if isinstance(raw_peers, str) else raw_peers)
    ]
    if not peers:
        faults.append(_fault("peer", "no peer is given", "give the address of each route reflector"))
    if router_id is not None and not isinstance(router_id, IPv4Address):
        faults.append(_fault("router-id", f"{router_id} is not in dotted form", "give 32 bits, as 10.0.0.1"))
    if local is not None and any(one is not None and one.version != local.version for one in peers):
        faults.append(
            _fault("peer", f"a peer is not of the IP version of {local}", "use one version for both")
        )
    md5 = _password(values.get("md5_file"), faults)
    if faults or router_id is None or local is None or not isinstance(router_id, IPv4Address):
        raise Invalid(*faults)
    return Settings(
        router_id=router_id,
        local_address=local,
        asn=asn,
        peers=tuple(one for one in dict.fromkeys(peers) if one is not None),
        socket=Path(str(values["socket"]).removeprefix("unix:")).absolute(),
        directory=Path(str(values["dir"])).absolute(),
        hold=hold,
        restart=restart,
        retry=retry,
        hops=hops,
        port=port,
        max_routes=max_routes,
        queue=queue,
        md5=md5,
    )


def _fault(name: str, message: str, remedy: str) -> Fault:
    return Fault(
        object="speaker settings", rule=f"speaker-{name}", message=f"{name}: {message}", remedy=remedy
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise Invalid(_fault("config", f"{path} cannot be read: {fault}", "give a JSON file")) from None
    unknown = sorted(set(values) - set(_KEYS)) if isinstance(values, dict) else ["not an object"]
    if unknown:
        remedy = f"use only {', '.join(_KEYS)}"
        raise Invalid(_fault("config", f"{path} has unknown keys: {', '.join(unknown)}", remedy))
    return dict(values)


def _number(values: Mapping[str, Any], key: str, allowed: range, faults: list[Fault]) -> int:
    name = key.replace("_", "-")
    try:
        number = int(values[key])
    except (KeyError, TypeError, ValueError):
        faults.append(_fault(name, f"{values.get(key)!r} is no number", f"give --{name} N"))
        return 0
    if number not in allowed:
        remedy = f"give {allowed.start} to {allowed.stop - 1}"
        faults.append(_fault(name, f"{number} is out of range", remedy))
    return number


def _address(value: object, name: str, faults: list[Fault]) -> Address | None:
    try:
        return ip_address(str(value))
    except ValueError:
        faults.append(_fault(name, f"{value!r} is no IP address", f"give --{name} ADDRESS"))
        return None


def _password(path: object, faults: list[Fault]) -> bytes | None:
    if path is None:
        return None
    try:
        password = Path(str(path)).read_bytes().rstrip(b"\r\n")
    except OSError as fault:
        faults.append(_fault("md5-file", f"{path} cannot be read: {fault.strerror}", "give a readable file"))
        return None
    if not 0 < len(password) <= _MD5_LONGEST:
        remedy = f"give 1 to {_MD5_LONGEST} octets on one line"
        faults.append(_fault("md5-file", f"{path} holds {len(password)} octets", remedy))
    return password
