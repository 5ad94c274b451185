"""Sources: the texts behind `-f`: files, folders, standard input.

Place: read by apply, plan and delete; sent to the API as they are, because it alone judges. Must not parse
them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from controller.cli.client import Refused, Wrong

STDIN: Final = "-"
SUFFIXES: Final = (".yaml", ".yml", ".json")
LARGEST: Final = 16 << 20
"""Bytes of all sources together; the API takes no more in one request."""


def declare_files(parser: argparse.ArgumentParser) -> None:
    """`-f`, which may stand several times."""
    parser.add_argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="PATH",
        help="manifest file, folder (all *.yaml, *.yml, *.json below it) or - for standard input; repeatable",
    )


def gather(paths: list[str]) -> list[dict[str, str]]:
    """`{name, text}` of each source in a fixed order. Refused with every file that can't be read."""
    if not paths:
        raise Wrong("which manifests? Give -f PATH, or -f - for standard input")
    sources: list[dict[str, str]] = []
    faults: list[dict[str, Any]] = []
    size = 0
    for path in paths:
        for name in _files(path, faults):
            try:
                text = _read(name)
            except (OSError, UnicodeDecodeError) as error:
                faults.append(_fault(name, error))
                continue
            size += len(text)
            if size > LARGEST:
                raise Wrong(
                    f"the manifests are larger than {LARGEST >> 20} MiB together; apply them in parts"
                )
            sources.append({"name": "<stdin>" if name == STDIN else name, "text": text})
    if faults:
        raise Refused(422, faults)
    return sources


def _files(path: str, faults: list[dict[str, Any]]) -> Iterator[str]:
    if path == STDIN or not os.path.isdir(path):
        yield path
        return
    found = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.endswith(SUFFIXES) and not name.startswith(".")
    )
    if not found:
        faults.append(
            {
                "object": f"folder {path}",
                "rule": "empty-manifest",
                "message": "there is no manifest in it",
                "remedy": f"Manifests end in {', '.join(SUFFIXES)}.",
                "source": path,
            }
        )
    yield from found


def _read(name: str) -> str:
    if name == STDIN:
        return sys.stdin.buffer.read(LARGEST + 1).decode()
    with open(name, "rb") as file:
        return file.read(LARGEST + 1).decode()


def _fault(name: str, error: OSError | UnicodeDecodeError) -> dict[str, Any]:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        message, remedy = "it is not UTF-8", "Save it as UTF-8."
    else:
        line = 0
        message, remedy = f"it can't be read: {error.strerror}", "Check the path and your rights."
    return {
        "object": f"file {name}",
        "rule": "unreadable",
        "message": message,
        "remedy": remedy,
        "source": name,
        "line": line,
    }
