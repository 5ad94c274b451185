"""Bearer: what an agent does with devices, on simulated NICs.

Place: one a host in the lab of rails, in the agent's place. Store, devices, words and berths are the agent's
own code (`controller.daemon.mooring`), and so is the look at the hardware; the kernel that they are given is
`topologies.firmware`, because this machine's has no VFs of InfiniBand. There is no switch and nothing is
counted, and its report says so. Must not decide anything.

`python -m topologies.bearer STORE HOST DIRECTORY`
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller.daemon.mooring import Moored
from controller.store.writer import Store, clock
from ipam.devices.look import look
from model.errors import RingfenceError
from model.ids import HostName
from model.report import Report, State, render
from topologies.firmware import Distant

LOG: Final = logging.getLogger(__name__)
BERTHS: Final = "berths.json"
"""In the host's directory: what a CNI plugin there would read."""
_STATE: Final = "state"
_EVERY: Final = 2.0
_REASON: Final = "a simulated server: it has NICs, and no Open vSwitch"


def main(arguments: Sequence[str]) -> int:
    """Until terminated."""
    remote, host, directory = arguments
    home = Path(directory)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    (home / _STATE).mkdir(exist_ok=True)
    kernel, store = Distant(home), Store(remote)
    moored = Moored(remote, HostName(host), home / _STATE, home / BERTHS, kernel)
    moored.start()
    while not over.is_set():
        try:
            tell(store, HostName(host), kernel)
        except (RingfenceError, OSError) as error:
            LOG.info("not reported: %s", error)
        over.wait(_EVERY)
    moored.stop()
    store.close()
    return 0


def tell(store: Store, host: HostName, kernel: Distant) -> None:
    """Report the hardware, as an agent does. OSError if the kernel is away."""
    seen = look(kernel.root, kernel.links, lambda addresses: {a: kernel.mode(a) for a in addresses})
    now = clock()
    store.put_report(host, render(Report(host, now, 0, State.WAITING, _REASON, devices=seen)), now)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
