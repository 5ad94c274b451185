"""Wish: which interface is asked for, put together from configuration, arguments and runtime.

Place: between `request` and `berths.choose`. The configuration is the operator's and binds: `tenant` must
stand there. Arguments are the pod's, and narrow what it may have; they never widen it. Must not touch files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from controller.cni.addresses import packed
from controller.cni.refusal import BAD_CONFIG, ENVIRONMENT, Refusal
from controller.cni.request import Request

_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_GUID = re.compile(r"[0-9a-f]{16}")
_NAMES = {
    "tenant": ("tenant",),
    "gang": ("gang",),
    "rail": ("rail",),
    "pf": ("pf",),
    "vf": ("vf",),
    "pci": ("deviceID", "pciBusID", "pci"),
    "guid": ("guid", "infinibandGUID"),
    "pkey": ("pkey",),
    "mac": ("mac",),
    "ips": ("ips", "IP"),
}
"""What we call it -> what others call it."""
_CAPABILITIES = ("deviceID", "infinibandGUID", "mac", "ips")


class Wish(NamedTuple):
    """None: no matter. `rail`: its number or name, as text. `guid`: of the port, or of the node.

    `mac`, `ips`: of a VF they follow from its gang, so that who asks for one asks for the VF that has it.
    """

    tenant: str
    gang: str | None = None
    rail: str | None = None
    pf: str | None = None
    vf: int | None = None
    pci: str | None = None
    guid: int | None = None
    pkey: int | None = None
    mac: str | None = None
    ips: tuple[bytes, ...] | None = None


def wish(request: Request) -> Wish:
    """Refusal if no tenant is configured, or two sources contradict each other."""
    config = request.config
    runtime = _object(config, "runtimeConfig")
    said = [_read(request.settings, "the configuration")]
    if request.delegated:
        # The main plugin's own keys for its device stand beside `ipam`.
        device = {key: config[key] for key in ("deviceID", "pciBusID") if config.get(key)}
        said.append(_read({} if runtime.get("deviceID") else device, "the configuration"))
    elif runtime.get("deviceID"):
        said[0].pop("pci", None)
    if "tenant" not in said[0]:
        raise Refusal(
            BAD_CONFIG,
            "tenant is missing",
            "The network's configuration says whose it is; a pod's arguments can't.",
        )
    given = {key: runtime[key] for key in _CAPABILITIES if key in runtime}
    said.append(_read(given, "runtimeConfig"))
    structured = _object(_object(config, "args"), "cni")
    plain = _pairs(request.arguments)
    # Conventions of CNI: what stands in `args` hides the same in CNI_ARGS.
    mine = {**_read(plain, "CNI_ARGS"), **_read(structured, "args.cni")}
    said.append(mine)
    together: dict[str, Any] = {}
    for values in said:
        for key, value in values.items():
            if together.setdefault(key, value) != value:
                raise Refusal(
                    BAD_CONFIG,
                    f"{key} is {together[key]!r}, and {value!r} is asked for",
                    "Arguments may narrow what the configuration says, not change it.",
                )
    return Wish(**together)


def _read(source: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, names in _NAMES.items():
        for name in names:
            value = source.get(name)
            if value is not None and value != "":
                found.setdefault(key, _parsed(key, value, f"{name} of {where}"))
    return found


def _parsed(key: str, value: object, where: str) -> str | int | tuple[bytes, ...]:
    if key == "ips":
        listed = value if isinstance(value, list) else [value]
        return tuple(sorted(packed(str(each).partition("/")[0])[1] for each in listed))
    if isinstance(value, int) and not isinstance(value, bool) and key in ("rail", "vf", "pkey"):
        value = str(value)
    if not isinstance(value, str) or len(value) > 256:
        raise Refusal(BAD_CONFIG, f"{where} is {value!r:.99}", "It is a short text.")
    if key == "pci":
        return _match(_PCI, value.lower(), where, "It is a PCI address, 0000:18:00.2; SFs are not handled.")
    if key == "guid":
        bare = value.lower().removeprefix("0x").replace(":", "")
        return int(_match(_GUID, bare, where, "It is a GUID of 16 hex digits."), 16)
    if key == "mac":
        return _match(_MAC, value.lower(), where, "It is 02:00:00:00:00:01.")
    if key == "vf":
        return int(_match(re.compile("[0-9]{1,4}"), value, where, "It is the number of a VF."))
    if key == "pkey":
        number = _match(re.compile("0x[0-9a-f]{1,4}|[0-9]{1,5}"), value.lower(), where, "It is 0x0010.")
        return int(number, 0 if "x" in number else 10) & 0x7FFF
    return value


def _match(form: re.Pattern[str], text: str, where: str, remedy: str) -> str:
    if not form.fullmatch(text) or not text.isascii():
        raise Refusal(BAD_CONFIG, f"{where} is {text!r}", remedy)
    return text


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = config.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        _refuse(BAD_CONFIG, f"{key} is no object")
    return found


def _pairs(text: str) -> dict[str, str]:
    """`FOO=BAR;ABC=123`, any case: other plugins' and Kubernetes' own stand there too."""
    found = {}
    names = {name.lower(): name for several in _NAMES.values() for name in several}
    for pair in text.split(";"):
        name, equals, value = pair.partition("=")
        if pair and not equals:
            _refuse(ENVIRONMENT, f"CNI_ARGS has {pair!r:.99}, which is no NAME=VALUE")
        if name.lower() in names:
            found[names[name.lower()]] = value
    return found


def _refuse(code: int, message: str) -> NoReturn:
    raise Refusal(code, message, "See the conventions of CNI.")
