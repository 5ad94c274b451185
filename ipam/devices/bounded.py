"""Bounded: what the kernel may keep for ever is asked of it in a thread of its own, once for each device.

Place: under `kernel`. Taking a VF from vfio-pci waits until its VM lets go of it, which a guest may refuse,
and holds the device's lock meanwhile, for which even a read of `driver_override` waits (device_release_driver
and driver_override_show of Linux). One tenant's VM shall not keep this host's other gangs waiting. Must not
wait for such a thread twice, nor have two at one device.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

LIMIT: Final = 10.0
"""Seconds: drivers take one or two to take a VF or to let it go."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Bounded:
    """`limit`: seconds. `late`: threads that still wait, by device."""

    limit: float = LIMIT
    late: dict[str, threading.Thread] = field(default_factory=dict)

    def run(self, device: str, work: Callable[[], _T]) -> _T:
        """What `work` returns or raises. EBUSY if it takes longer than the limit, and at once as long as an
        earlier one still waits at that device.
        """
        if (waiting := self.late.get(device)) is not None:
            if waiting.is_alive():
                raise _busy(device)
            del self.late[device]
        results: list[_T] = []
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                errors.append(error)

        thread = threading.Thread(target=attempt, name=f"device-{device}", daemon=True)
        thread.start()
        thread.join(self.limit)
        if thread.is_alive():
            self.late[device] = thread
            raise _busy(device)
        if errors:
            raise errors[0]
        return results[0]


def _busy(device: str) -> OSError:
    return OSError(
        errno.EBUSY, f"{device} is not let go of: a VM that has it still runs, or its driver hangs"
    )
