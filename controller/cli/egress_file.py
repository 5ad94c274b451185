"""File of `ringfence egress`: a result that stands under its name whole, or not at all.

Place: for actions that write files. Must not touch what stands there before all of the new one is on disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from controller.cli.client import Wrong


@contextmanager
def kept(path: str) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block ends without an exception. Wrong: it can't be written."""
    wanted = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{wanted.name}.", dir=wanted.parent)
    except OSError as error:
        raise Wrong(f"{path} can't be written: {error.strerror or error}") from error
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as out:
            yield out
            out.flush()
            os.fsync(descriptor)
        # A temporary file is its owner's alone; this one is as any other that the user writes.
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        os.replace(name, wanted)
    except OSError as error:
        raise Wrong(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)
