"""Seeds in manifests: what a port's instance is told by metadata besides what follows from the port.

Place: part of `controller.manifest.schema`. Must not hold rules that span objects: `ipam.seeds` does.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import readers
from controller.manifest.fields import FieldRule, Shape
from controller.manifest.readers import Misfit, text_of
from controller.manifest.tree import Scalar, show
from model.seed import LONGEST_DATA, LONGEST_KEY, MOST_KEYS, fits, is_key

NOTHING: Final = "none"
_SHOWN: Final = 40


def read_first(node: Scalar) -> str:
    """A port's name; or `none`."""
    return "" if text_of(node) == NOTHING else readers.read_name(node)


def read_key(node: Scalar) -> str:
    """A line of a file of OpenSSH's, as `id_ed25519.pub`: kind, key, and maybe a comment."""
    line = text_of(node).strip()
    if is_key(line):
        return line
    if "PRIVATE KEY" in line:
        raise Misfit("public-key-rule", "it is a private key", "Make another pair: this one is known now.")
    raise Misfit(
        "public-key-rule",
        f"{show(line[:_SHOWN])} is no public key of OpenSSH in one line of up to {LONGEST_KEY} octets",
        "Write the line of the file that ends in .pub, without options before it.",
    )


def read_data(node: Scalar) -> str:
    """Text of up to 16384 octets."""
    text = text_of(node)
    if not fits(text):
        size = len(text.encode())
        message = "it has an octet 0" if "\0" in text else f"it has {size} octets, wanted: {LONGEST_DATA}"
        advice = "Have it fetch the rest from where only the workload may (#include, or a script)."
        raise Misfit("user-data-size", message, advice)
    return text


SEED: Final = (
    FieldRule(
        "spec",
        "instance",
        read_first,
        "The port that is the first NIC of the same VM: metadata tell this one as a further one, and user"
        " data and public keys are the first one's. `none` takes it back (default: it is a VM's first).",
        "web",
    ),
    FieldRule(
        "spec",
        "publicKeys",
        read_key,
        "Who may log in, as metadata tell cloud-init: lines of OpenSSH (default none).",
        '["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHBlcm1pdHRlZC1mb3ItZXhhbXBsZXMtb25seS0hISEh me@example"]',
        shape=Shape.MANY,
        most=MOST_KEYS,
    ),
    FieldRule(
        "spec",
        "userData",
        read_data,
        "What cloud-init or the like does at the first boot: its text. No place for secrets: each program of"
        " the VM reads it, and whoever reads the store (default none).",
        "'#!/bin/sh'",
    ),
)
