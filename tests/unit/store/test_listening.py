"""Where the store may listen: in clear on this host alone, elsewhere with TLS and a certificate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from controller.store.listening import parse_all, parse_listening
from model.errors import Invalid


@pytest.mark.parametrize(
    "text",
    [
        "punix:/run/x.sock", "ptcp:6640:127.0.0.1", "ptcp:0:127.9.9.9", "ptcp:6640:[::1]", "pssl:6640",
        "pssl:6640:192.0.2.5", "pssl:6640:[2001:db8::5]", "pssl:6640:[::]",
    ],
)  # fmt: skip
def test_what_may_be_is_written_as_it_was(text: str) -> None:
    assert str(parse_listening(text)) == text


@pytest.mark.parametrize(
    "text",
    ["ptcp:6640", "ptcp:6640:0.0.0.0", "ptcp:6640:192.0.2.5", "ptcp:6640:[::]", "ptcp:6640:[2001:db8::5]",
     "ptcp:6640:[::ffff:127.0.0.1]", "ptcp:6640:10.127.0.1", "ptcp:6640:255.255.255.255"],
)  # fmt: skip
def test_in_clear_beyond_loopback_is_refused_and_names_the_remedy(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_all([text], certified=True)
    (fault,) = caught.value.faults
    assert (fault.object, fault.rule) == (f"store remote {text}", "store-in-clear")
    assert text.replace("ptcp", "pssl") in fault.remedy and "--also-cert" in fault.remedy
    assert "neither TLS nor a credential" in fault.message


@pytest.mark.parametrize(
    "text",
    ["", "ptcp", "ptcp:", "pssl:", "punix:", "pssl:65536", "pssl:-1", "pssl:٣", "pssl:6640:",
     "pssl:6640:name", "ptcp:6640:localhost", "ptcp:6640:127.1", "ptcp:6640:127.0.0.1:9", "ptcp:6640:::1",
     "ptcp:6640:[127.0.0.1]", "ptcp:6640:[::1%eth0]", "tcp:192.0.2.5:6640", "ssl:192.0.2.5:6640",
     "db:Ringfence,Cluster,name", "PTCP:6640", " ptcp:6640:127.0.0.1", "ptcp:6640:127.0.0.1 "],
)  # fmt: skip
def test_anything_else_is_no_place_to_listen_at(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_listening(text)
    assert caught.value.faults[0].rule == "store-remote"
    assert "pssl:PORT" in caught.value.faults[0].remedy


def test_a_certificate_and_a_place_to_show_it_go_together() -> None:
    assert len(parse_all(["pssl:1", "ptcp:2:127.0.0.1"], certified=True)) == 2
    assert parse_all([], certified=False) == ()
    with pytest.raises(Invalid, match="demands one"):
        parse_all(["pssl:6640"], certified=False)
    with pytest.raises(Invalid, match="nowhere over TLS"):
        parse_all(["ptcp:2:127.0.0.1"], certified=True)


@given(some.integers(0, 65535), some.ip_addresses())
def test_whatever_address_only_loopback_is_in_clear(port: int, address: object) -> None:
    place = f"[{address}]" if ":" in str(address) else str(address)
    loopback = str(address).startswith("127.") or str(address) == "::1"
    try:
        assert str(parse_listening(f"ptcp:{port}:{place}")) == f"ptcp:{port}:{place}"
    except Invalid as error:
        assert error.faults[0].rule == "store-in-clear" and not loopback
    else:
        assert loopback
    assert str(parse_listening(f"pssl:{port}:{place}")) == f"pssl:{port}:{place}"
