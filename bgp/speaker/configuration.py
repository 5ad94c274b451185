"""ExaBGP's configuration and environment, generated from `Settings`.

Place: written by the relay before each start of the engine. Must not hold policy: one family, no routes, no
listening socket, End-of-RIB said by us alone.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bgp.speaker.settings import Settings

ENGINE_SOCKET: Final = "engine.sock"
"""In the speaker's directory: where the helper of ExaBGP reaches the relay."""
EMPTY_FILE: Final = "exabgp.env"
"""In the speaker's directory: ExaBGP's own environment file, empty, so that it looks for no other."""
SOCKET_VARIABLE: Final = "RINGFENCE_ENGINE_SOCKET"
RELAY_VARIABLE: Final = "RINGFENCE_RELAY_PID"
RETRY_VARIABLE: Final = "RINGFENCE_BGP_RETRY"
_MOST_HOPS: Final = 255

_NEIGHBOR: Final = """neighbor {peer} {{
    router-id {router_id};
    local-address {local};
    local-as {asn};
    peer-as {asn};
    hold-time {hold};
    connect {port};
    manual-eor true;
    adj-rib-in false;
    adj-rib-out true;
    group-updates false;
{md5}{ttl}    family {{ l2vpn evpn; }}
    capability {{ route-refresh enable; graceful-restart {restart}; asn4 enable; }}
    api {{ processes [ relay ]; neighbor-changes; receive {{ packets; update; }} }}
}}
"""


def text(settings: Settings, helper: Path) -> str:
    """The configuration file."""
    run = f"'{sys.executable}' -I -S '{helper}'"
    head = f"process relay {{\n    run {run};\n    encoder json;\n}}\n"
    md5 = ttl = ""
    if settings.hops is not None:  # RFC 5082 section 3: sent with 255; a hop takes one
        ttl = f"    outgoing-ttl {_MOST_HOPS};\n    incoming-ttl {_MOST_HOPS + 1 - settings.hops};\n"
    if settings.md5 is not None:
        encoded = base64.b64encode(settings.md5).decode()
        md5 = f"    md5-base64 true;\n    md5-password '{encoded}';\n"
    return head + "".join(
        _NEIGHBOR.format(
            peer=peer,
            router_id=settings.router_id,
            local=settings.local_address,
            asn=settings.asn,
            hold=settings.hold,
            port=settings.port,
            restart=settings.restart,
            md5=md5,
            ttl=ttl,
        )
        for peer in settings.peers
    )


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: what it inherits, less any setting of ExaBGP, plus ours."""
    kept = {k: v for k, v in inherited.items() if not k.lower().startswith("exabgp")}
    return {
        **kept,
        SOCKET_VARIABLE: str(settings.directory / ENGINE_SOCKET),
        RELAY_VARIABLE: str(os.getpid()),
        RETRY_VARIABLE: str(settings.retry),
        "EXABGP_ENVFILE": str(settings.directory / EMPTY_FILE),
        "exabgp_api_ack": "false",
        "exabgp_api_cli": "false",
        "exabgp_daemon_daemonize": "false",
        "exabgp_daemon_user": "nobody",
        "exabgp_log_destination": "stderr",
        "exabgp_log_level": "WARNING",
        "exabgp_tcp_bind": "",
        "PYTHONUNBUFFERED": "1",
    }
