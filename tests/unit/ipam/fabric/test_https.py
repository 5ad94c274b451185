"""One question over real TLS: who is believed, what is bounded, and that the credential goes nowhere else."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ipam.fabric import credential
from ipam.fabric.https import Address, Answer, Server, Trouble, Unanswered, parse_address, parse_pin, trust
from ipam.fabric.opensm import Alarm, Clock
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.ufm import Ufm
from model.errors import Invalid
from model.fabric import Guid, PKey
from tests.fakes.estate import GUIDS, infiniband
from tests.fakes.ufm import BASIC, PASSWORD, USER, Fake, Manners, serve

PATH = "/ufmRest/resources/pkeys?guids_data=true"


@dataclass
class Authority:
    """Signs certificates; `file`: its own, in PEM."""

    file: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @staticmethod
    def make(folder: Path, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        found = Authority(folder / f"{name}.pem", key, _name(name))
        found.file.write_bytes(_sign(found, found.name, key, None).public_bytes(serialization.Encoding.PEM))
        return found

    def server(self, names: list[x509.GeneralName], past: bool = False) -> tuple[ssl.SSLContext, str]:
        """A server's side, and the SHA-256 of its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(self, _name("ufm"), key, names, past)
        path = self.file.with_suffix(".server")
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context, certificate.fingerprint(hashes.SHA256()).hex()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(
    by: Authority,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName] | None,
    past: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * day)
        .not_valid_after(now - day if past else now + day)
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(by.key, hashes.SHA256())


LOOPBACK: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "credential"
    path.write_text(f"basic {USER}:{PASSWORD}\n")
    path.chmod(0o600)
    return path


def why(server: Server, path: str = PATH) -> Trouble:
    with pytest.raises(Unanswered) as caught:
        server.ask("GET", path, BASIC)
    assert PASSWORD not in str(caught.value) + repr(caught.value.__dict__)
    assert BASIC.split()[1] not in str(caught.value)
    return caught.value.why


def test_a_round_over_tls(authority: Authority, secret: Path) -> None:
    context, pin = authority.server(LOOPBACK)
    guid = Guid(GUIDS.start + 1)
    wanted = Partitions((), (Partition(PKey(0x10), (guid,)),))
    fake = Fake()
    with serve(fake, Manners(), context) as port:
        server = Server(parse_address(f"https://127.0.0.1:{port}"), trust(authority.file), pin)
        clock = Clock(time.monotonic, time.sleep)
        driver = Ufm(server, secret, infiniband(1, pkeys=range(0x10, 0x20)), (), None, clock)
        verdict = driver.hold(None, wanted, [])
        assert (verdict.alarms, verdict.left) == ((), ())
        assert verdict.tables == {guid: (0x8010, 0x7FFF)}
        stranger = replace(driver, server=replace(server, pin="0" * 64))
        verdict = stranger.hold(None, Partitions(), [guid])
        assert verdict.alarms == (Alarm.SILENT,)
        assert {fault.rule for fault in verdict.said} == {"ufm-distrusted"}
    assert set(fake.state) == {0x10}


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "other")


def test_who_is_not_known_learns_nothing(authority: Authority, other: Authority) -> None:
    """A certificate by somebody else, for another name, or that has run out: not even the credential."""
    told = (
        (authority.server(LOOPBACK)[0], other),
        (authority.server([x509.DNSName("ufm.example")])[0], authority),
        (authority.server(LOOPBACK, past=True)[0], authority),
    )
    for context, believed in told:
        fake = Fake()
        with serve(fake, Manners(), context) as port:
            server = Server(Address("127.0.0.1", port), trust(believed.file), timeout=60.0)
            assert why(server) is Trouble.DISTRUSTED
            assert fake.asked == []
    fake = Fake()
    context, pin = authority.server(LOOPBACK)
    with serve(fake, Manners(), context) as port:
        server = Server(Address("127.0.0.1", port), trust(authority.file), "f" * 64, timeout=60.0)
        assert why(server) is Trouble.DISTRUSTED
        assert fake.asked == []
        assert replace(server, pin=pin).ask("GET", PATH, BASIC).status == 200
        assert why(replace(server, context=None)) is Trouble.DISTRUSTED
    assert hashlib.sha256(b"").hexdigest() != pin


@pytest.fixture
def plain() -> Iterator[tuple[Fake, Manners, Server]]:
    fake, manners = Fake(), Manners()
    with serve(fake, manners) as port:
        yield fake, manners, Server(Address("127.0.0.1", port, plain=True), None, timeout=60.0)


def test_a_redirect_is_an_answer_and_not_followed(plain: tuple[Fake, Manners, Server]) -> None:
    fake, manners, server = plain
    manners.status, manners.headers = 302, (("Location", f"http://127.0.0.1:{server.address.port}/stolen"),)
    assert server.ask("GET", PATH, BASIC).status == 302
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("raw", "trouble"),
    [
        (b"", Trouble.LOST),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", Trouble.LOST),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Trouble.LOST),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", Trouble.LOST),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Trouble.ODD),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", Trouble.ODD),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", Trouble.ODD),
        (b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n", Trouble.ODD),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000, Trouble.ODD),
    ],
)
def test_what_is_no_whole_answer(plain: tuple[Fake, Manners, Server], raw: bytes, trouble: Trouble) -> None:
    _, manners, server = plain
    manners.raw = raw
    with pytest.raises(Unanswered) as caught:
        server.ask("GET", PATH, BASIC, most=1000)
    assert caught.value.why is trouble


def test_one_that_drips_is_left(plain: tuple[Fake, Manners, Server]) -> None:
    _, manners, server = plain
    manners.raw, manners.drip = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000, 0.05
    assert why(replace(server, timeout=0.4)) is Trouble.LOST


def test_nobody_there(plain: tuple[Fake, Manners, Server]) -> None:
    _, _, server = plain
    assert why(replace(server, address=Address("127.0.0.1", 1, plain=True))) is Trouble.AWAY
    assert why(replace(server, address=Address("no such host", 1, plain=True))) is Trouble.AWAY


def test_no_proxy_is_asked(plain: tuple[Fake, Manners, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    _, _, server = plain
    assert isinstance(server.ask("GET", PATH, BASIC), Answer)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://ufm.example", Address("ufm.example", 443)),
        ("https://ufm.example:8443/", Address("ufm.example", 8443)),
        ("https://[2001:db8::1]", Address("2001:db8::1", 443)),
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080, plain=True)),
        ("http://[::1]", Address("::1", 80, plain=True)),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert parse_address(url, plain=True) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ufm.example",
        "https://",
        "https://word" + "@ufm.example",
        "https://ufm.example/ufmRest",
        "https://ufm.example?x",
        "https://ufm.example#x",
        "https://ufm.example:0",
        "https://ufm.example:99999",
        "https://ufm.exa\nmple",
        "https://ufm example",
        "http://ufm.example",
        "http://localhost",
        "http://10.0.0.1",
        "ftp://ufm.example",
        "https://[::1",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_address(url, plain=True)
    assert "word" not in str(caught.value.faults)


def test_plain_http_has_to_be_asked_for() -> None:
    with pytest.raises(Invalid):
        parse_address("http://127.0.0.1")


def test_pins(tmp_path: Path) -> None:
    assert parse_pin("AB:" * 31 + "ab") == "ab" * 32
    for text in ("", "ab" * 31, "zz" * 32, "ab" * 33):
        with pytest.raises(Invalid):
            parse_pin(text)
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Invalid):
            trust(path)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("basic u:p:q\n", "/ufmRest"), ("basic u:pässword", "/ufmRest"), ("token abcdefgh\n", "/ufmRestV3")],
)
def test_credentials(secret: Path, text: str, prefix: str) -> None:
    secret.write_text(text)
    found = credential.read(secret)
    assert found.prefix == prefix
    assert found.authorization.isascii()
    assert found.authorization.split()[1] not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "basic",
        "basic u",
        "basic u:",
        "basic :p",
        "token",
        "token short",
        "token a b c d e f",
        "u:p",
    ],
)
def test_credentials_that_are_none(secret: Path, text: str) -> None:
    secret.write_text(text)
    with pytest.raises(Invalid):
        credential.read(secret)


@pytest.mark.parametrize(
    "text",
    [
        "basic u:qqqq\nbasic v:q\n",
        "basic u:qqqq\r\n",
        "basic u:" + "q" * 5000,
        "token qqqqqqqqq\x00",
        "bearer qqqq",
    ],
)
def test_what_is_wrong_is_not_repeated(secret: Path, text: str) -> None:
    secret.write_text(text)
    with pytest.raises(Invalid) as caught:
        credential.read(secret)
    assert "qqqq" not in str(caught.value) + str(caught.value.faults)


def test_files_that_hold_no_credential(secret: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(secret)

    os.mkfifo(pipe, 0o600)
    for path in (link, pipe, tmp_path, tmp_path / "none"):
        with pytest.raises(Invalid):
            credential.read(path)
    for mode in (0o640, 0o604, 0o620):
        secret.chmod(mode)
        with pytest.raises(Invalid):
            credential.read(secret)
    secret.chmod(0o400)
    assert credential.read(secret).prefix == "/ufmRest"
    os.chown(secret, 65534, 65534)
    with pytest.raises(Invalid):
        credential.read(secret)


def test_an_error_page_that_repeats_the_secret_is_not_quoted(secret: Path) -> None:
    found = credential.read(secret)
    assert found.clean("a role is missing") == "a role is missing"
    assert found.clean(f"got {found.authorization}") == ""
    assert found.clean(f"user {USER} with {PASSWORD}") == ""
