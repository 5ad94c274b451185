"""The entry of `ringfence-cni`: environment and standard input in, JSON and an exit code out.

Place: started by runtimes and by other plugins. Whatever comes in, the answer is JSON as CNI has it, never a
traceback. Must not know what commands do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from controller.cni import commands
from controller.cni.refusal import INPUT_OUTPUT, INTERNAL, Refusal
from controller.cni.request import LARGEST, VERSIONS, Request, parse


def main() -> int:
    """For the script."""
    text = b"" if sys.stdin is None else sys.stdin.buffer.read(LARGEST + 1)
    code, answer = respond(os.environ, text)
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
        sys.stdout.flush()
    return code


def respond(environ: Mapping[str, str], text: bytes) -> tuple[int, dict[str, Any] | None]:
    """Exit code, and what is printed."""
    try:
        return 0, _carry_out(parse(environ, text))
    except Refusal as refusal:
        return 1, _error(text, refusal)
    except OSError as error:
        # The kernel's, without traceback: which file or link it was stands in the message where it is known.
        return 1, _error(text, Refusal(INPUT_OUTPUT, f"{error.strerror or error}", str(error.filename or "")))
    except Exception as error:  # noqa: BLE001 - a runtime reads JSON, whatever went wrong
        return 1, _error(text, Refusal(INTERNAL, f"{type(error).__name__}: {error}", "Please report this."))


def _carry_out(request: Request) -> dict[str, Any] | None:
    if request.command == "VERSION":
        return {"cniVersion": request.version, "supportedVersions": list(VERSIONS)}
    if request.command == "ADD":
        return commands.add(request)
    {"DEL": commands.delete, "CHECK": commands.check, "GC": commands.collect, "STATUS": commands.status}[
        request.command
    ](request)
    return None


def _error(text: bytes, refusal: Refusal) -> dict[str, Any]:
    answer = {"cniVersion": _version(text), "code": refusal.code, "msg": refusal.message[:2000]}
    if refusal.details:
        answer["details"] = refusal.details
    return answer


def _version(text: bytes) -> str:
    """That of the configuration, if we speak it."""
    try:
        found = json.loads(text.decode())
        version = found.get("cniVersion") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        version = None
    return version if version in VERSIONS else VERSIONS[-1]


if __name__ == "__main__":
    sys.exit(main())
