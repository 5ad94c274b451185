"""Seed: what the instance behind a port is told besides what follows from its port: by metadata, not by DHCP.

Place: declared with ports, kept beside them in the store, sent to the hosts of the port alone. Must not hold
a secret: whoever can read the store reads it, and each program in the workload.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from model.ids import PortKey

LONGEST_DATA: Final = 16_384
"""Octets of user data, as EC2 has it."""
LONGEST_KEY: Final = 4_096
"""Octets of a public key: one of RSA with 16,384 bits has 2,800."""
MOST_KEYS: Final = 32
KEY_KINDS: Final = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True, slots=True)
class Seed:
    """`first`: the port of the same tenant that is the first NIC of the same instance; "" = this one is.
    `keys`: lines as sshd reads them, in order. `data`: as cloud-init reads it."""

    first: str = ""
    keys: tuple[str, ...] = ()
    data: str = ""


NOTHING: Final = Seed()


@dataclass(frozen=True, slots=True)
class Sown:
    """A seed as hosts have it. `port`: whose it is."""

    port: PortKey
    seed: Seed


def is_key(line: str) -> bool:
    """Whether it is one public key, of a kind that sshd knows, without options before it (RFC 4253
    section 6.6: the kind stands in the key as well)."""
    kind, _, rest = line.partition(" ")
    if kind not in KEY_KINDS or not line.isprintable() or len(line.encode()) > LONGEST_KEY:
        return False
    try:
        raw = base64.b64decode(rest.partition(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(raw[:4], "big")
    return raw[4 : 4 + length] == kind.encode() and len(raw) > 4 + length


def fits(data: str) -> bool:
    """Whether user data are no more than they may be."""
    return len(data.encode()) <= LONGEST_DATA and "\0" not in data
