"""`python -m bgp.speaker`: the speaker as a process; `ringfenced speaker` is the same.

Place: the edge: settings in, exit code out. Exit codes: 0 told to stop, 2 wrong settings, 69 another
speaker holds its place, 78 ExaBGP is not as expected.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from bgp.speaker import settings
from bgp.speaker.loop import serve
from model.errors import Invalid, RingfenceError, Unavailable


def main(arguments: Sequence[str]) -> int:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        return serve(settings.parse(arguments))
    except RingfenceError as error:
        for fault in error.faults:
            sys.stderr.write(f"speaker: {fault.message}; {fault.remedy}\n")
        if isinstance(error, Invalid):
            return 2
        return 69 if isinstance(error, Unavailable) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
