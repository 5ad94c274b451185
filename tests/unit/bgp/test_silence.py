"""Which peers do not answer: from the kernel's own table, and from a socket that really waits."""

from __future__ import annotations

import socket
from pathlib import Path

from bgp.speaker.silence import Silence, silent

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
FOUR = "   0: 0100630A:D1F2 0200630A:00B3 {state} 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
SIX = "   0: 000000000000000000000000010000FE:D1F2 B80D01200000000000000000010000A0:00B3 02 0:0 00:0\n"


def test_who_was_asked_and_how_far_it_got(tmp_path):
    four, six = tmp_path / "tcp", tmp_path / "tcp6"
    four.write_text(HEAD + FOUR.format(state="02"))
    six.write_text(HEAD + SIX)
    assert silent(179, (four, six)) == {"10.99.0.2": Silence.SYN, "2001:db8::a000:1": Silence.SYN}
    assert silent(180, (four, six)) == {}
    four.write_text(HEAD + FOUR.format(state="01"))
    assert silent(179, (four, tmp_path / "none")) == {"10.99.0.2": Silence.OPEN}
    four.write_text(HEAD + FOUR.format(state="06"))
    assert silent(179, (four,)) == {}


def test_the_kernel_writes_it_so():
    """A listener whose queue is full leaves a SYN unanswered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        assert silent(port) == {}
        with socket.socket() as first:
            first.connect(("127.0.0.1", port))
            assert silent(port) == {"127.0.0.1": Silence.OPEN}
            with socket.socket() as second:
                second.setblocking(False)
                second.connect_ex(("127.0.0.1", port))
                table = Path("/proc/net/tcp").read_text().splitlines()
                assert any(f":{port:04X} 02 " in line for line in table)
