"""An authority that signs certificates of hosts, servers and anybody, and takes them back: real ones."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.tls.papers import Papers

_DAY = datetime.timedelta(days=1)
_PEM = serialization.Encoding.PEM
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass
class Authority:
    """`file`: its own certificate. Each call of `papers` makes files, or replaces those of that name."""

    folder: Path
    name: str = "authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        made = self._builder(self.name, self.key, False).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        _put(self.file, made.sign(self.key, hashes.SHA256()).public_bytes(_PEM))

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def papers(
        self,
        who: str,
        names: Sequence[x509.GeneralName],
        use: x509.ObjectIdentifier = CLIENT,
        past: bool = False,
        trust: Path | None = None,
    ) -> Papers:
        """`who`: common name, and name of the files. `trust`: whom it believes, this authority if None."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(who, key, past).add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files = Papers(self.folder / f"{who}.crt", self.folder / f"{who}.key", self.folder / f"{who}.trust")
        _put(files.certificate, made.sign(self.key, hashes.SHA256()).public_bytes(_PEM))
        form = serialization.PrivateFormat.PKCS8
        _put(files.key, key.private_bytes(_PEM, form, serialization.NoEncryption()))
        _put(files.authorities, (trust or self.file).read_bytes())
        return files

    def host(self, *names: str, **more: object) -> Papers:
        """Papers of the host of the first name, with all of them."""
        return self.papers(names[0], [x509.DNSName(name) for name in names], **more)  # type: ignore[arg-type]

    def server(self, address: str = "127.0.0.1", **more: object) -> Papers:
        """Papers of the API at an address."""
        return self.papers("api", [x509.IPAddress(ip_address(address))], SERVER, **more)  # type: ignore[arg-type]

    def revoke(self, *taken: Papers, past: bool = False) -> Path:
        """A list of what it took back; `past`: which should have been made anew."""
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateRevocationListBuilder(
            _name(self.name), now - 2 * _DAY, now - _DAY if past else now + _DAY
        )
        for papers in taken:
            serial = x509.load_pem_x509_certificate(papers.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder(serial, now - _DAY).build()
            made = made.add_revoked_certificate(entry)
        path = self.folder / f"{self.name}.crl"
        _put(path, made.sign(self.key, hashes.SHA256()).public_bytes(_PEM))
        return path

    def _builder(self, who: str, key: ec.EllipticCurvePrivateKey, past: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(who))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * _DAY)
            .not_valid_after(now - _DAY if past else now + _DAY)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _put(path: Path, data: bytes) -> None:
    """In one step, as whoever renews a certificate should."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(0o600)
    new.replace(path)
