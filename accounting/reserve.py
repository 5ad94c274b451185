"""Reserve: room on the disk that belongs to a file before anything is written into it.

Place: asked for by `accounting.journal`, so that last readings find room on a full disk. The file's size does
not change by it, so that nobody who reads the file knows. Must not write.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

_KEEP_SIZE: Final = 0x01
"""FALLOC_FL_KEEP_SIZE of fallocate(2): the file stays as long as it is."""
_UNABLE: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def reserve(file: int, length: int) -> None:
    """Let the first `length` bytes of a file have their place on the disk, also those behind its end.

    A file system that knows nothing of that reserves nothing. OSError if there is no room.
    """
    if length <= 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_int64
    if libc.fallocate64(file, _KEEP_SIZE, size(0), size(length)) == 0:
        return
    number = ctypes.get_errno()
    if number not in _UNABLE:
        raise OSError(number, os.strerror(number))
