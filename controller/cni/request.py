"""Request: what a runtime asks for, as environment and standard input say it.

Place: made first; `commands` carries it out. Parsed here and nowhere else. What DEL and GC need is little, so
that a configuration that has gone bad does not keep an interface from being given back. Must not touch files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from controller.cni.refusal import BAD_CONFIG, ENVIRONMENT, INCOMPATIBLE, UNDECODABLE, UNSUPPORTED, Refusal

NAME = "ringfence-cni"
VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Of the CNI specification; the last one when none is said."""
COMMANDS = {"ADD": "0.3.0", "DEL": "0.3.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0", "VERSION": ""}
"""With the version that has it first."""
LARGEST = 16 << 20
"""Bytes of standard input."""
VALID = "cni.dev/valid-attachments"
_VALID_BEFORE = "cni.dev/attachments"  # what libcni 1.2.0 sent by mistake, and sends still
_BERTHS, _STATE, _SYSFS = "/run/ringfence/berths.json", "/var/lib/cni/ringfence", "/sys"
_ATTACHED = ("ADD", "DEL", "CHECK")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,255}")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,-]{0,255}")
_LINK = re.compile(r"[^\s/:\0]{1,15}")


class Attachment(NamedTuple):
    """What CNI knows an interface by; of one network."""

    container: str
    ifname: str


class Request(NamedTuple):
    """`delegated`: another plugin has the interface, and asks for addresses only. `settings`: where our own
    keys stand, `ipam` if delegated. `config`: everything. `netns`: "" if the runtime did not say.
    """

    command: str
    version: str
    network: str
    attachment: Attachment
    netns: str
    delegated: bool
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    arguments: str
    berths: str
    state: str
    sysfs: str


def parse(environ: Mapping[str, str], text: bytes) -> Request:
    """Refusal for what the specification does not allow."""
    command = environ.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise Refusal(ENVIRONMENT, f"CNI_COMMAND is {command!r}", f"It is one of {', '.join(COMMANDS)}.")
    config = decode(text) if text.strip() or command != "VERSION" else {}
    version = version_of(config, VERSIONS[-1] if command == "VERSION" else None)
    if command == "VERSION":
        return Request(command, version, "", Attachment("", ""), "", False, {}, {}, "", "", "", "")
    if _number(version) < _number(COMMANDS[command]):
        _say(INCOMPATIBLE, f"cniVersion {version} has no {command}", f"It needs {COMMANDS[command]}.")
    delegated, settings = _settings(config)
    network = config.get("name")
    if not isinstance(network, str) or not _NETWORK.fullmatch(network):
        _say(BAD_CONFIG, f"name is {network!r}", "A network has a name of letters, digits, '_', '.', '-'.")
    netns = environ.get("CNI_NETNS", "")
    return Request(
        command,
        version,
        network,
        _attachment(environ, netns, command) if command in _ATTACHED else Attachment("", ""),
        netns,
        delegated,
        settings,
        config,
        environ.get("CNI_ARGS", ""),
        path_of(settings, "berths", _BERTHS),
        path_of(settings, "dataDir", _STATE),
        path_of(settings, "sysfs", _SYSFS),
    )


def decode(text: bytes) -> dict[str, Any]:
    """A JSON object; Refusal for anything else."""
    if len(text) > LARGEST:
        _say(UNDECODABLE, f"standard input has more than {LARGEST >> 20} MiB", "Send one configuration.")
    try:
        found = json.loads(text.decode(), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        _say(UNDECODABLE, f"standard input is no JSON: {error}", "Send the network configuration.")
    if not isinstance(found, dict):
        _say(UNDECODABLE, "standard input is no JSON object", "Send the network configuration.")
    return found


def version_of(config: Mapping[str, Any], default: str | None) -> str:
    """What the answer is written in: a version that we speak."""
    version = config.get("cniVersion", default)
    if version not in VERSIONS:
        _say(INCOMPATIBLE, f"cniVersion is {version!r}", f"Supported are {', '.join(VERSIONS)}.")
    return str(version)


def path_of(settings: Mapping[str, Any], key: str, default: str) -> str:
    """An absolute path."""
    path = settings.get(key, default)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        _say(BAD_CONFIG, f"{key} is {path!r}", "It is an absolute path.")
    return path


def attachments(config: Mapping[str, Any]) -> frozenset[Attachment]:
    """Of GC: those that are still there. Who does not say them frees nothing; `null` is Go's empty list."""
    key = VALID if VALID in config else _VALID_BEFORE
    if key not in config:
        _say(BAD_CONFIG, f"{VALID} is missing", "Say which attachments are still there, [] for none.")
    listed = config[key] if config[key] is not None else []
    if not isinstance(listed, list):
        _say(BAD_CONFIG, f"{key} is no list", "It has an object for each attachment.")
    return frozenset(_listed(each) for each in listed)


def _listed(entry: object) -> Attachment:
    if isinstance(entry, dict):
        container, ifname = entry.get("containerID"), entry.get("ifname")
        if isinstance(container, str) and isinstance(ifname, str) and container and ifname:
            return Attachment(container, ifname)
    raise Refusal(BAD_CONFIG, f"{VALID} has {entry!r:.99}", "Each has a containerID and an ifname.")


def _settings(config: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any]]:
    ipam = {} if config.get("ipam") is None else config["ipam"]
    if not isinstance(ipam, dict):
        _say(BAD_CONFIG, "ipam is no object", "Leave it out, or name its type.")
    if config.get("type") != NAME and ipam.get("type") == NAME:
        return True, ipam
    if config.get("type") != NAME:
        _say(BAD_CONFIG, f"neither type nor ipam.type is {NAME}", "Name it in one of them.")
    if ipam.get("type", NAME) != NAME:
        # Addresses of rails are the gang's: others would be another tenant's, or nobody's.
        _say(UNSUPPORTED, f"ipam.type is {ipam['type']!r}", f"{NAME} has addresses itself: leave ipam out.")
    return False, config


def _attachment(environ: Mapping[str, str], netns: str, command: str) -> Attachment:
    container, ifname = environ.get("CNI_CONTAINERID", ""), environ.get("CNI_IFNAME", "")
    wrong = []
    if not _CONTAINER.fullmatch(container):
        wrong.append(f"CNI_CONTAINERID is {container!r}")
    if not _LINK.fullmatch(ifname) or ifname in (".", "..") or not _utf8(ifname):
        wrong.append(f"CNI_IFNAME is {ifname!r}")
    if (not netns and command != "DEL") or "\0" in netns:
        wrong.append(f"CNI_NETNS is {netns!r}")
    if wrong:
        _say(ENVIRONMENT, ", ".join(wrong), "A container, an interface's name and a namespace are needed.")
    return Attachment(container, ifname)


def _utf8(text: str) -> bool:
    try:
        return len(text.encode()) <= 15
    except UnicodeEncodeError:
        return False


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _say(code: int, message: str, details: str) -> NoReturn:
    raise Refusal(code, message, details)
