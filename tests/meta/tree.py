"""The files of this checkout, as the meta tests see them.

Place: imported by the tests beside it. Reads only; knows no git, so that it works in an unpacked archive too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("model", "controller", "pipelines", "bgp", "ipam", "accounting", "services", "topologies")
# Made by tools, listed in .gitignore.
MADE: Final = frozenset({"__pycache__", "build", "dist"})
KEPT_HIDDEN: Final = frozenset({".ci", ".gitignore"})


def files() -> Iterator[Path]:
    """Every file that is, or could be, under version control, in a fixed order."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if _ours(name))
        paths = (Path(folder) / name for name in sorted(names) if _ours(name))
        yield from (path for path in paths if path.is_file())


def _ours(name: str) -> bool:
    return name not in MADE and not name.endswith(".egg-info") and (name[0] != "." or name in KEPT_HIDDEN)


def python(*tops: str) -> list[Path]:
    """Python files below the given top-level folders."""
    return [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in tops]


def shown(path: Path) -> str:
    """The path as a person names it."""
    return path.relative_to(ROOT).as_posix()
