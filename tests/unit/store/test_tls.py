"""The store over real TLS on loopback: who is let in, whom clients believe, and what renewal costs."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from controller.store import leases
from controller.store.calling import Caller
from controller.store.moorings import Lookout, Moorings
from controller.store.watch import Watch
from controller.store.wire import Connection
from controller.store.writer import Store
from controller.tls.papers import Papers, calling
from model.change import Part
from model.errors import Invalid, Unavailable
from model.ids import HostName
from tests.fakes.authority import SERVER, Authority
from tests.unit.store.certified import House, reach, shown
from tests.unit.store.house import Collector, apply, base, poll, port, uid_of
from tests.unit.store.test_cluster import LOOPBACK

_LIST = b'{"id":1,"method":"list_dbs","params":[]}'


@pytest.fixture
def house(directory: Path) -> Iterator[House]:
    made = House(directory)
    made.server.start()
    yield made
    made.server.stop()


def asked(sock: socket.socket) -> bytes:
    """The answer to a question; b"" if the other end is gone."""
    try:
        sock.sendall(_LIST)
        return sock.recv(1 << 16)
    except (ConnectionError, ssl.SSLError):
        return b""


def refused(house: House, papers: Papers, words: str) -> None:
    """A client says why it has no connection; a handshake may take its time on a busy machine."""

    def told() -> bool:
        with pytest.raises(Unavailable) as caught:
            reach(house, papers, 0.3)
        return words in str(caught.value)

    poll(told)


def test_reads_monitors_and_writes_go_over_tls(house: House) -> None:
    caller = house.caller()
    connect = partial(Connection, caller=caller)
    store = Store(house.remote, connect=connect)
    store.ensure_cluster(65000, (ip_address("192.0.2.254"),), site=3)
    seen, moored = Collector(), list[Moorings | None]()
    watch = Watch(house.remote, HostName("h1"), seen, caller=caller)
    lookout = Lookout(house.remote, HostName("h1"), moored.append, caller=caller)
    connection = connect(house.remote)
    try:
        apply(store, *base())
        watch.start()
        lookout.start()
        apply(store, port("a", "h1"))
        uid = uid_of(store, "a")
        seen.wait(lambda: seen.names(Part.PORT) == {"a"})
        poll(lambda: bool(moored) and moored[-1] is not None and moored[-1].cluster is not None)
        store.bind(uid, HostName("h1"))
        seen.wait(lambda: bool(seen.part(Part.BINDING)))
        assert leases.read_all(connection) == {}
        assert set(store.read_all().tenants) == {"acme", "umbra"}
        # The socket serves the same, in clear, as ever.
        local = Store(house.server.remote)
        assert local.read_all().ports == store.read_all().ports
        local.close()
    finally:
        lookout.stop()
        watch.stop()
        connection.close()
        store.close()


def test_whoever_has_no_good_certificate_gets_no_answer(house: House, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    wrong = {
        "stranger": stranger.host("hv1", trust=house.authority.file),
        "past": house.authority.host("hv2", past=True),
        "server": house.authority.papers("srv", [x509.DNSName("hv1")], SERVER),
    }
    for papers in (*wrong.values(), None):
        with house.wire(papers) as wire:
            assert asked(wire) == b""
    for papers in wrong.values():
        with pytest.raises(Unavailable):
            reach(house, papers, 0.3)
    with house.raw() as plain:
        assert asked(plain) == b""
    older = calling(house.authority.host("old"))
    older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_2
    with house.raw() as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        older.wrap_socket(raw, server_hostname=LOOPBACK)
    with house.wire(house.authority.host("hv1")) as wire:
        assert wire.version() == "TLSv1.3"
        assert b"Ringfence" in asked(wire)


def test_garbage_ends_nothing(house: House) -> None:
    before = house.server.pid
    good = Connection(house.remote, caller=house.caller())
    good.call("list_dbs", [])
    papers = house.authority.host("hv2")
    for garbage in (
        b"\0" * 100,
        b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000,
        b"{" * 10_000,
        os.urandom(5_000),
    ):
        with house.raw() as raw, suppress(OSError):
            raw.sendall(garbage)
            raw.recv(100)
        with house.wire(papers) as wire, suppress(OSError):
            wire.sendall(garbage)
            wire.sendall(b"]}\n")
            wire.settimeout(1.0)
            wire.recv(100)
    assert good.call("echo", ["here"]) == ["here"]
    with house.wire(papers) as wire:
        assert b"Ringfence" in asked(wire)
    assert house.server.pid == before != 0
    good.close()


def test_a_client_says_nothing_to_a_server_of_another_name_or_authority(house: House, tmp_path: Path) -> None:
    distrusting = house.authority.host("hv1", trust=Authority(tmp_path, "stranger").file)
    refused(house, distrusting, "certificate verify failed")
    reach(house, house.authority.host("hv1"))
    named = house.authority.papers("api", [x509.DNSName("store.example.net")], SERVER)
    assert named == house.papers
    house.server.renew()
    refused(house, house.authority.host("hv1"), "not valid for")
    # A host's own certificate makes no store of it.
    house.authority.papers("api", [x509.IPAddress(ip_address(LOOPBACK))])
    house.server.renew()
    refused(house, house.authority.host("hv1"), "purpose")
    house.authority.server(LOOPBACK)
    house.server.renew()
    reach(house, house.authority.host("hv1"))


def test_renewed_certificates_count_from_the_next_connection_on(house: House) -> None:
    caller = house.caller()
    kept = Connection(house.remote, caller=caller)
    kept.call("list_dbs", [])
    before, pid = shown(house), house.server.pid
    house.server.renew()
    assert shown(house) == before
    house.authority.server(LOOPBACK)
    assert shown(house) == before  # nothing was told yet
    house.server.renew()
    assert shown(house) != before
    # The key comes before its certificate, or never: nobody is shown half of a pair.
    now, certificate = shown(house), house.papers.certificate.read_bytes()
    house.authority.server(LOOPBACK)
    new = house.papers.certificate.read_bytes()
    house.papers.certificate.write_bytes(certificate)
    house.server.renew()
    assert shown(house) == now
    house.papers.certificate.write_bytes(new)
    house.server.renew()
    assert shown(house) == ssl.PEM_cert_to_DER_cert(new.decode()) != now
    # The client's own, without a new caller.
    house.authority.host("hv1")
    fresh = Connection(house.remote, caller=caller)
    fresh.call("list_dbs", [])
    fresh.close()
    assert kept.call("echo", []) == []
    assert house.server.pid == pid
    kept.close()


def test_an_authority_that_is_taken_away_lets_nobody_in(house: House, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    mine, theirs = house.authority.host("hv1"), other.host("hv2", trust=house.authority.file)
    reach(house, mine)
    with pytest.raises(Unavailable):
        reach(house, theirs, 0.3)
    house.papers.authorities.write_bytes(house.authority.file.read_bytes() + other.file.read_bytes())
    house.server.renew()
    reach(house, mine)
    reach(house, theirs)
    house.papers.authorities.write_bytes(other.file.read_bytes())
    house.server.renew()
    reach(house, theirs)
    with pytest.raises(Unavailable):
        reach(house, mine, 0.3)


def test_a_wrong_key_is_named_and_nothing_starts(directory: Path) -> None:
    made = House(directory)
    made.papers.key.chmod(0o640)
    with pytest.raises(Invalid, match=r"api\.key: others may use it"):
        made.server.start()
    made.papers.key.unlink()
    with pytest.raises(Invalid, match=r"api\.key: it can't be looked at"):
        made.server.start()
    assert made.server.pid == 0
    made.authority.server(LOOPBACK)
    made.server.start()
    reach(made, made.authority.host("hv1"))
    made.server.stop()
    assert not list((directory / "db").glob("store-tls-*"))


def test_a_client_with_a_wrong_key_says_which_once_and_goes_on(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    papers = house.authority.host("hv1")
    papers.key.chmod(0o604)
    caller = Caller(papers)
    with pytest.raises(Invalid, match=r"hv1\.key"):
        caller.check()
    connection = Connection(house.remote, caller=caller)
    with caplog.at_level(logging.WARNING), pytest.raises(Unavailable, match=r"hv1\.key: others may use it"):
        connection.call("list_dbs", [], 0.3)
    assert sum("hv1.key" in record.getMessage() for record in caplog.records) == 1
    papers.key.chmod(0o600)
    connection.call("list_dbs", [])
    connection.close()


def test_without_a_certificate_or_a_place_there_is_no_connection(house: House) -> None:
    with pytest.raises(Invalid, match="no certificate is named"):
        Connection(house.remote).call("list_dbs", [])
    for wrong in ("ssl:", "ssl:::1:5", "ssl:a", "ssl:a:0", "ssl:a b:1"):
        with pytest.raises(Invalid, match="no remote"):
            Connection(wrong, caller=house.caller()).call("list_dbs", [])
