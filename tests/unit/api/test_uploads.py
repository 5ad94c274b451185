"""Uploads over real TLS on loopback: who is let in, for whom he may post, and what a bad host can't do."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import os
import random
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as form

from accounting.encode import plain
from accounting.ledger import Ledger, sqlite_url
from accounting.report import Grouping, Query, report
from controller.agent.post import TlsPost
from controller.api import door
from controller.api.books import Books
from controller.api.door import Complaints, Crowd, Door, Turns
from controller.api.hearing import Hearing
from controller.api.limits import Bounds
from controller.api.serve import assemble, open_door
from controller.api.settings import Settings, Uploads
from controller.api.uploads import BOUNDS, uploads
from controller.store.writer import Store
from controller.tls.endpoint import Endpoint
from controller.tls.names import hosts
from controller.tls.papers import Current, Papers, calling, serving
from model.errors import Conflict, Invalid
from model.ids import HostName
from tests.fakes.authority import CLIENT, Authority
from tests.unit.accounting.examples import interval

PLACE = Endpoint("127.0.0.1", 0)
OTHER = "127.0.0.2"
"""An address of another host; on loopback each is."""
_PATIENCE = 30.0
OURS = ("controller.api", "controller.tls", "uvicorn", "accounting")
"""Loggers; threads of other tests may have their say with others."""


class Centre:
    """A ledger behind a door."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "ca")
        self.papers = self.authority.server()
        self.ledger = Ledger(sqlite_url(folder / "ledger.db"))
        self.refused: list[str] = []
        self.door: Door | None = None

    def up(self, crowd: Crowd | None = None, bounds: Bounds = BOUNDS) -> None:
        app = uploads(self.ledger, self.refused.append, bounds)
        current = Current(self.papers, serving)
        self.door = Door(PLACE, current, app, self.refused.append, crowd or Crowd())
        self.door.start()

    @property
    def place(self) -> Endpoint:
        assert self.door is not None
        return Endpoint("127.0.0.1", self.door.port)

    def post(self, papers: Papers) -> TlsPost:
        """As an agent does it."""
        return TlsPost(self.place, Current(papers, calling))

    def wire(self, papers: Papers | None, source: str = "") -> ssl.SSLSocket:
        """A connection after its handshake, from an address. `papers` None: without a certificate."""
        raw = self.raw(source)
        if papers is None:
            context = ssl.create_default_context(cafile=str(self.authority.file))
        else:
            context = calling(papers)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    def raw(self, source: str = "") -> socket.socket:
        made = socket.create_connection(
            (self.place.host, self.place.port), _PATIENCE, (source, 0) if source else None
        )
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def bytes(self) -> int:
        return report(self.ledger, Query("blue", 0, 10**12, (Grouping.PORT,))).bytes

    def close(self) -> None:
        if self.door is not None:
            self.door.stop()
        self.ledger.close()


@pytest.fixture
def centre(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Centre]:
    made = Centre(tmp_path)
    yield made
    made.close()
    gc.collect()
    wrong = [r.getMessage() for when in ("setup", "call", "teardown") for r in caplog.get_records(when)
             if r.name == "asyncio" or (r.levelno >= logging.ERROR and r.name.startswith(OURS))]  # fmt: skip
    assert not wrong


def batch(host: str, *sequences: int) -> bytes:
    records = [plain(interval(n)) for n in sequences or (1,)]
    return json.dumps({"host": host, "records": records}).encode()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(sock: socket.socket) -> bool:
    """Whether the other end is gone, without an answer."""
    try:
        return sock.recv(100) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def test_a_host_posts_for_itself_and_for_names_of_its_own_alone(centre: Centre) -> None:
    centre.up()
    hv1 = centre.post(centre.authority.host("hv1", "old-hv1"))
    status, answer = hv1(batch("hv1"))
    assert (status, json.loads(answer)["accepted"]) == (200, 1)
    assert json.loads(hv1(batch("hv1"))[1])["repeated"] == 1
    assert hv1(batch("old-hv1"))[0] == 200
    assert centre.bytes() == 2_000
    for host in ("hv2", "HV1", "hv1.", "*", ""):
        status, answer = hv1(batch(host, 5))
        assert status == (403 if host else 422), host
    status, answer = hv1(batch("hv2", 5))
    (fault,) = json.loads(answer)["faults"]
    assert (status, fault["object"], fault["rule"]) == (403, "host hv2", "host-not-certified")
    assert "hv1, old-hv1" in fault["message"] and "DNS:NAME" in fault["remedy"]
    assert any("hv2" in text for text in centre.refused)
    assert centre.bytes() == 2_000


def test_the_subject_and_patterns_name_nobody_and_a_uri_does(centre: Centre) -> None:
    centre.up()
    subject = centre.post(centre.authority.papers("hv1", [x509.IPAddress(ip_address(OTHER))]))
    pattern = centre.post(centre.authority.papers("p", [x509.DNSName("*.rack1"), x509.DNSName("*")]))
    uri = centre.post(centre.authority.papers("u", [x509.UniformResourceIdentifier("ringfence:host:hv1")]))
    other = centre.post(centre.authority.papers("o", [x509.UniformResourceIdentifier("spiffe://x/hv1")]))
    assert subject(batch("hv1"))[0] == 403
    assert b"names no host" in subject(batch("hv1"))[1]
    assert [pattern(batch(host))[0] for host in ("a.rack1", "*.rack1", "*")] == [403, 403, 403]
    assert other(batch("hv1"))[0] == 403
    assert centre.bytes() == 0
    assert uri(batch("hv1"))[0] == 200


def test_whoever_has_no_good_certificate_gets_no_answer(centre: Centre, tmp_path: Path) -> None:
    centre.up()
    stranger = Authority(tmp_path, "stranger")
    papers = {
        "unable to get local issuer": stranger.host("hv1", trust=centre.authority.file),
        "expired": centre.authority.host("hv1", past=True),
        "purpose": centre.authority.papers(
            "srv", [x509.DNSName("hv1")], x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
        ),
    }
    for words, wrong in papers.items():
        with pytest.raises(OSError, match="its log says why"):
            centre.post(wrong)(batch("hv1"))
        until(lambda words=words: any(words in text for text in centre.refused))  # type: ignore[misc]
    nobody = centre.wire(None)
    assert ended(nobody)
    nobody.close()
    until(lambda: any("PEER_DID_NOT_RETURN_A_CERTIFICATE" in text for text in centre.refused))
    assert centre.bytes() == 0
    assert centre.post(centre.authority.host("hv1"))(batch("hv1"))[0] == 200


def test_a_time_that_no_report_could_write_is_refused(centre: Centre) -> None:
    """Else one bad host would end every report that touches it."""
    centre.up()
    hv1 = centre.post(centre.authority.host("hv1"))
    for far in (1 << 47, (1 << 53) - 1):
        record = plain(interval(1)) | {"to_ms": far}
        status, answer = hv1(json.dumps({"host": "hv1", "records": [record]}).encode())
        assert (status, b"to_ms" in answer) == (422, True)
    last = plain(interval(1)) | {"to_ms": (1 << 47) - 1}
    assert hv1(json.dumps({"host": "hv1", "records": [last]}).encode())[0] == 200
    found = report(centre.ledger, Query("blue", 0, 1 << 47, (Grouping.DAY,)))
    assert [row.keys for row in found.rows] == [("6429-10-17",)]


def test_plain_http_and_older_tls_are_not_spoken(centre: Centre) -> None:
    centre.up()
    with centre.raw() as plainly:
        plainly.sendall(b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert ended(plainly)
    until(lambda: any("HTTP_REQUEST" in text for text in centre.refused))
    older = calling(centre.authority.host("hv1"))
    older.minimum_version, older.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with centre.raw() as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        older.wrap_socket(raw, server_hostname="127.0.0.1")
    until(lambda: any("UNSUPPORTED_PROTOCOL" in text for text in centre.refused))
    with centre.wire(centre.authority.host("hv1")) as newer:
        assert newer.version() == "TLSv1.3"


def test_an_agent_sends_nothing_to_a_server_of_another_name(centre: Centre, tmp_path: Path) -> None:
    centre.papers = centre.authority.server("127.0.0.9")
    centre.up()
    with pytest.raises(OSError, match=r"not believed.*IP address mismatch"):
        centre.post(centre.authority.host("hv1"))(batch("hv1"))
    distrusting = centre.authority.host("hv2", trust=Authority(tmp_path, "stranger").file)
    with pytest.raises(OSError, match="not believed"):
        centre.post(distrusting)(batch("hv2"))
    # A host's own certificate makes no server of it, whatever the name in it.
    centre.authority.papers("api", [x509.IPAddress(ip_address("127.0.0.1"))], CLIENT)
    with pytest.raises(OSError, match=r"not believed.*purpose"):
        centre.post(centre.authority.host("hv1"))(batch("hv1"))
    centre.authority.server()
    assert centre.post(centre.authority.host("hv1"))(batch("hv1"))[0] == 200


def test_nothing_but_the_upload_answers(centre: Centre, tmp_path: Path) -> None:
    centre.up(Crowd(burst=10_000))
    context = calling(centre.authority.host("hv1"))
    store = Store(f"unix:{tmp_path}/none", lambda: 0, lambda: None)  # type: ignore[arg-type,return-value]
    hearing = Hearing(store.report_stamps, lambda: 0)
    whole = assemble(Settings(), store, hearing, centre.ledger, Books(centre.ledger, lambda: 0))
    # What the operators' API has, or might have, with each method.
    paths = {
        *whole.openapi()["paths"], "/", "/docs", "/openapi.json", "/v1/usage/", "/V1/usage",
    }  # fmt: skip
    assert len(paths) > 40 and "/v1/usage" in paths
    methods = ("GET", "POST", "PUT", "DELETE")
    found: dict[tuple[str, str], int] = {}
    for method in methods:
        for path in sorted(paths):
            connection = http.client.HTTPConnection("127.0.0.1")
            connection.sock = context.wrap_socket(centre.raw(), server_hostname="127.0.0.1")
            connection.request(method, path, b"", {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            found[method, path] = response.status
            connection.close()
    assert {status for (_, path), status in found.items() if path != "/v1/usage"} == {404}
    assert [found[method, "/v1/usage"] for method in methods] == [405, 422, 405, 405]
    store.close()


def test_certificates_are_read_again_when_they_change(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    centre.up()
    hv1 = centre.post(centre.authority.host("hv1"))
    assert hv1(batch("hv1", 1))[0] == 200
    # The agent's own: another name, and nobody starts anything again.
    centre.authority.host("hv1", "hv9")
    assert hv1(batch("hv9", 2))[0] == 200
    # The server's: another one of the same authority; half of it first.
    key = centre.papers.key.read_bytes()
    centre.papers.key.write_text("half\n")
    assert hv1(batch("hv1", 3))[0] == 200
    assert "certificates stay as they were" in caplog.text
    before = serial(centre, hv1)
    centre.authority.server()
    assert hv1(batch("hv1", 4))[0] == 200
    assert serial(centre, hv1) != before
    # Another authority: its hosts are let in, and those of the first no more.
    second = Authority(centre.authority.folder, "second")
    centre.authority.papers("api", [], trust=second.file)
    second.server(trust=second.file)
    with pytest.raises(OSError, match="not believed"):
        hv1(batch("hv1", 5))
    assert centre.post(second.host("hv3"))(batch("hv3", 6))[0] == 200
    with pytest.raises(OSError, match="its log says why"):
        centre.post(centre.authority.host("hv1", trust=second.file))(batch("hv1", 7))
    assert centre.bytes() == 5_000
    assert "PRIVATE" not in caplog.text and key.decode().splitlines()[1] not in caplog.text


def serial(centre: Centre, post: TlsPost) -> str:
    with post.current.context().wrap_socket(centre.raw(), server_hostname="127.0.0.1") as sock:
        return str((sock.getpeercert() or {})["serialNumber"])


def test_what_the_authority_took_back_is_refused(centre: Centre) -> None:
    bad, good = centre.authority.host("hv1"), centre.authority.host("hv2")
    centre.papers = replace(centre.papers, revoked=centre.authority.revoke())
    centre.up()
    assert centre.post(bad)(batch("hv1", 1))[0] == 200
    centre.authority.revoke(bad)
    with pytest.raises(OSError, match="its log says why"):
        centre.post(bad)(batch("hv1", 2))
    until(lambda: any("revoked" in text for text in centre.refused))
    assert centre.post(good)(batch("hv2", 3))[0] == 200
    assert centre.bytes() == 2_000
    centre.authority.revoke(past=True)
    with pytest.raises(OSError, match="its log says why"):
        centre.post(good)(batch("hv2", 4))
    until(lambda: any("CRL has expired" in text for text in centre.refused))


def test_a_body_that_is_too_large_is_refused_however_it_comes(centre: Centre) -> None:
    centre.up(bounds=replace(BOUNDS, body=100_000))
    hv1 = centre.authority.host("hv1")
    for head, body in (
        (b"Content-Length: 100000000000\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"1000\r\n" + b" " * 0x1000 + b"\r\n"),
    ):
        with centre.wire(hv1) as sock:
            sock.sendall(b"POST /v1/usage HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            try:
                for _ in range(200 if body else 0):
                    sock.sendall(body)
            except OSError:
                pass
            else:
                assert sock.recv(100).startswith(b"HTTP/1.1 413")
    with centre.wire(hv1) as sock:
        sock.sendall(b"POST /v1/usage HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert centre.post(hv1)(batch("hv1"))[0] == 200


def test_who_holds_all_that_he_may_have_holds_up_nobody_else(centre: Centre) -> None:
    """His four connections are his own loss."""
    centre.up()
    slow = centre.authority.host("slow")
    held = [centre.wire(slow, OTHER) for _ in range(4)]
    for sock in held:
        sock.sendall(b"POST /v1/usage HTTP/1.1\r\n")
    fifth = centre.raw(OTHER)
    assert ended(fifth)
    fifth.close()
    until(lambda: any("too many connections" in text for text in centre.refused))
    assert centre.post(centre.authority.host("hv1"))(batch("hv1"))[0] == 200
    for sock in held:
        sock.close()


def test_who_drips_is_ended_and_his_place_is_free_again(centre: Centre) -> None:
    """Each byte in time, the whole never."""
    centre.up(Crowd(each=1, life=1.5))
    slow = centre.authority.host("slow")

    def entered() -> ssl.SSLSocket | None:
        """None: there was no room, or its handshake alone took longer than a life, on a busy machine."""
        try:
            return centre.wire(slow, OTHER)
        except OSError:
            return None

    def dripped(sock: socket.socket) -> bool:
        try:
            sock.sendall(b"x")
        except OSError:
            return True
        return False

    def too_slow() -> bool:
        sock = entered()
        if sock is not None:
            with sock:
                until(lambda: dripped(sock))
        return any("too slow" in text for text in centre.refused)

    until(too_slow)
    again: list[ssl.SSLSocket] = []
    until(lambda: again.extend(sock for sock in [entered()] if sock is not None) or bool(again))
    again[0].close()


def test_a_certificate_has_few_connections_from_wherever(centre: Centre) -> None:
    centre.up()
    bad, good = centre.authority.host("bad"), centre.authority.host("good")
    held = [centre.wire(bad, f"127.0.1.{n}") for n in range(1, 5)]
    for sock in held:
        sock.sendall(b"POST")
    until(lambda: ended_soon(centre, bad))
    assert centre.post(good)(batch("good"))[0] == 200
    for sock in held:
        sock.close()
    until(lambda: not ended_soon(centre, bad))


def ended_soon(centre: Centre, papers: Papers) -> bool:
    """Whether one connection more of these papers is ended without an answer."""
    with centre.wire(papers, "127.0.1.99") as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            return True
        return ended(sock)


def test_a_connection_is_for_one_request(centre: Centre) -> None:
    centre.up()
    with centre.wire(centre.authority.host("hv1")) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        told = b""
        while part := sock.recv(65_536):
            told += part
    assert told.count(b"HTTP/1.1 404") == 1 and b"connection: close" in told.lower()


def test_who_comes_often_waits_for_his_turn_and_is_not_refused(centre: Centre) -> None:
    centre.up(Crowd(burst=1, pause=0.01))
    hv1 = centre.post(centre.authority.host("hv1"))
    assert [hv1(batch("hv1", n))[0] for n in range(1, 21)] == [200] * 20
    assert centre.refused == []


def test_turns_are_at_once_for_some_and_then_one_after_the_other() -> None:
    now = [1_000.0]
    turns = Turns(burst=4, pause=0.5, clock=lambda: now[0])
    assert [turns.wait("a") for _ in range(7)] == [0, 0, 0, 0, 0.5, 1.0, 1.5]
    assert turns.wait("b") == 0
    now[0] += 1.0
    assert turns.wait("a") == 1.0
    now[0] += 60.0
    assert [turns.wait("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    for stranger in range(5_000):
        now[0] += 0.1
        assert turns.wait(stranger) == 0
    assert len(turns._due) < 2_000


def test_strangers_that_say_nothing_make_room(centre: Centre) -> None:
    """More than there is room for, each from an address of its own: the oldest goes, who speaks is heard."""
    centre.up(Crowd(unknown=3))
    held = [centre.raw(f"127.0.2.{n}") for n in range(1, 11)]
    hv1 = centre.post(centre.authority.host("hv1"))
    assert [hv1(batch("hv1", n))[0] for n in (1, 2, 3)] == [200, 200, 200]
    assert ended(held[0])
    for sock in held:
        sock.close()


def test_who_does_not_finish_the_handshake_is_ended(centre: Centre) -> None:
    centre.up(Crowd(handshake=0.2))
    with centre.raw() as sock:
        sock.sendall(b"\x16\x03\x01")
        assert ended(sock)
    until(lambda: any("too slow" in text for text in centre.refused))


def test_noise_from_everywhere_costs_nobody_else_anything(centre: Centre) -> None:
    """Half handshakes, garbage, resets; from strangers, and from a host with a certificate."""
    centre.up(Crowd(unknown=8))
    chance = random.Random(7)
    bad, hv1 = centre.authority.host("bad"), centre.post(centre.authority.host("hv1"))
    reset = struct.pack("ii", 1, 0)
    for n in range(60):
        source = f"127.0.3.{n % 20 + 1}"
        with centre.wire(bad, source) if n % 5 == 0 else centre.raw(source) as sock, suppress(OSError):
            sock.sendall(chance.choice((b"", b"\x16\x03\x01\x02\x00\x01", chance.randbytes(500))))
            if n % 3 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        if n % 10 == 9:
            assert hv1(batch("hv1", n))[0] == 200
    assert centre.bytes() == 6_000


def test_stopping_ends_whoever_is_there(centre: Centre) -> None:
    centre.up()
    with centre.wire(centre.authority.host("hv1")) as sock, centre.raw() as raw:
        sock.sendall(b"POST")
        assert centre.door is not None
        centre.door.stop()
        centre.door = None
        assert ended(sock) and ended(raw)


def test_a_door_that_can_not_be_says_why(centre: Centre) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    place = Endpoint("127.0.0.1", taken.getsockname()[1])
    with taken, pytest.raises(Conflict) as caught:
        open_door(Uploads(place, centre.papers), centre.ledger)
    assert caught.value.faults[0].rule == "not-listening"
    centre.papers.key.chmod(0o640)
    with pytest.raises(Invalid) as refused:
        open_door(Uploads(PLACE, centre.papers), centre.ledger)
    assert (refused.value.faults[0].rule, "0640" in str(refused.value)) == ("key-file", True)


def test_ipv6(centre: Centre) -> None:
    centre.papers = centre.authority.server("::1")
    app = uploads(centre.ledger, centre.refused.append)
    centre.door = Door(Endpoint("::1", 0), Current(centre.papers, serving), app, centre.refused.append)
    centre.door.start()
    current = Current(centre.authority.host("hv1"), calling)
    assert TlsPost(Endpoint("::1", centre.door.port), current)(batch("hv1"))[0] == 200


def test_complaints_come_one_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    complain = Complaints(lambda: now[0])
    for _ in range(1_000):
        complain("a")
    now[0] = 11.0
    complain("b")
    assert [record.getMessage() for record in caplog.records if record.name == door.__name__] == [
        "upload refused a",
        "upload refused b (999 more were refused before)",
    ]


def test_keys_of_others_and_no_keys_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good = authority.host("hv1")
    calling(good)
    serving(good)
    other = authority.host("hv2")
    wrong: list[tuple[Papers, str]] = [
        (replace(good, key=other.key), "certificate-file"),
        (replace(good, key=tmp_path / "none"), "key-file"),
        (replace(good, key=tmp_path), "key-file"),
        (replace(good, certificate=tmp_path / "none"), "certificate-file"),
        (replace(good, authorities=tmp_path / "none"), "authorities-file"),
        (replace(good, authorities=good.key), "authorities-file"),
        (replace(good, authorities=good.certificate), "authorities-file"),
        (replace(good, revoked=good.certificate), "revocation-file"),
    ]
    for papers, rule in wrong:
        with pytest.raises(Invalid) as caught:
            calling(papers)
        assert caught.value.faults[0].rule == rule, papers
    for mode in (0o640, 0o604, 0o660, 0o610):
        good.key.chmod(mode)
        with pytest.raises(Invalid, match=f"{mode:04o}"):
            calling(good)
    good.key.chmod(0o400)
    calling(good)
    if os.geteuid() == 0:
        os.chown(good.key, 12345, -1)
        with pytest.raises(Invalid, match="somebody else"):
            calling(good)


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    papers = Authority(tmp_path).host("hv1")
    key: Any = form.load_pem_private_key(papers.key.read_bytes(), None)
    locked = form.BestAvailableEncryption(b"opensesame")
    papers.key.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
    with pytest.raises(Invalid, match="no certificate with its key"):
        calling(papers)


def test_names_are_those_of_hosts() -> None:
    names = (("DNS", "hv1"), ("URI", "ringfence:host:hv2"), ("URI", "ringfence:host:"), ("DNS", "*.x"),
             ("email", "hv3"), ("IP Address", "192.0.2.1"), ("URI", "xringfence:host:hv4"))  # fmt: skip
    certificate = {"subject": ((("commonName", "hv0"),),), "subjectAltName": names}
    assert hosts(certificate) == {HostName("hv1"), HostName("hv2")}
    assert hosts({}) == frozenset()
