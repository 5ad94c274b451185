"""Papers: certificate, key and authorities of one end, in files, and the TLS contexts made of them.

Place: effects at the edge, for door and post of uploads, and for the store at both ends. Files are
looked at before each connection, so that a renewed certificate needs no restart. Must not let a key into an
error or a log, nor use one that others than its owner may read.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.errors import Fault, Invalid

LOG: Final = logging.getLogger(__name__)
_OTHERS: Final = 0o077
_Stamp = tuple[tuple[int, int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Papers:
    """Files in PEM. `certificate`: with its intermediates. `authorities`: those that may vouch for the other
    end. `revoked`: a revocation list of theirs, if there is one.
    """

    certificate: Path
    key: Path
    authorities: Path
    revoked: Path | None = None


def serving(papers: Papers) -> ssl.SSLContext:
    """TLS 1.3 for who is called: whoever calls must show a certificate. Invalid: which file is wrong."""
    context = _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), papers)
    context.verify_mode = ssl.CERT_REQUIRED
    # No session is resumed: a certificate that is past, or revoked, ends with its connection.
    context.num_tickets = 0
    return context


def calling(papers: Papers) -> ssl.SSLContext:
    """TLS 1.3 for who calls: the other end's certificate must bear the name that was called. Invalid."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), papers)


class Current:
    """The context made of what the files say now. One thread at a time."""

    def __init__(self, papers: Papers, make: Callable[[Papers], ssl.SSLContext]) -> None:
        """`make`: `serving` or `calling`. Nothing is read yet."""
        self._papers, self._make = papers, make
        self._stamp: _Stamp = ()
        self._context: ssl.SSLContext | None = None
        self._said = ""

    def context(self) -> ssl.SSLContext:
        """Made anew if a file has changed. The last good one stays if a new one is half there, or wrong, and
        the log says so. Invalid if there was none yet.
        """
        found = _stamp(self._papers)
        if self._context is not None and found == self._stamp:
            return self._context
        try:
            made = self._make(self._papers)
        except Invalid as error:
            if self._context is None:
                raise
            if self._said != str(error):
                self._said = str(error)
                LOG.warning("certificates stay as they were: %s", error)
            return self._context
        if self._context is not None:
            LOG.info("certificates were read again certificate=%s", self._papers.certificate)
        self._context, self._stamp, self._said = made, found, ""
        return made


def _load(context: ssl.SSLContext, papers: Papers) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _check_key(papers.key)
    try:
        # An empty password: with none given, OpenSSL would ask for it on the terminal, and wait.
        context.load_cert_chain(papers.certificate, papers.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        message = f"no certificate with its key is in {papers.certificate} and {papers.key}: {_words(error)}"
        remedy = "Name PEM files that belong together; the key has no password."
        raise Invalid(Fault(str(papers.certificate), "certificate-file", message, remedy)) from None
    _trust(context, papers.authorities, "x509_ca", "authorities-file", "certificates of authorities")
    if papers.revoked is not None:
        _trust(context, papers.revoked, "crl", "revocation-file", "revocation list")
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


def _trust(context: ssl.SSLContext, path: Path, kind: str, rule: str, what: str) -> None:
    before = context.cert_store_stats()[kind]
    reason = ""
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        reason = f": {_words(error)}"
    if reason or context.cert_store_stats()[kind] <= before:
        message = f"{path} holds no {what} in PEM{reason}"
        raise Invalid(Fault(str(path), rule, message, "Name such a file."))


def _check_key(path: Path) -> None:
    remedy = "Make it a file of mode 0600, owned by root or by who runs this."
    try:
        found = path.stat()
    except OSError as error:
        raise _wrong_key(path, f"it can't be looked at: {_words(error)}", remedy) from None
    if not stat.S_ISREG(found.st_mode):
        raise _wrong_key(path, "it is no file", remedy)
    if found.st_uid not in (0, os.geteuid()):
        raise _wrong_key(path, "it belongs to somebody else", remedy)
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise _wrong_key(path, f"others may use it: its mode is {stat.S_IMODE(found.st_mode):04o}", remedy)


def _wrong_key(path: Path, message: str, remedy: str) -> Invalid:
    return Invalid(Fault(str(path), "key-file", message, remedy))


def _stamp(papers: Papers) -> _Stamp:
    """What differs once a file is another one, has other content or another mode."""
    files = (papers.certificate, papers.key, papers.authorities, papers.revoked)
    return tuple(None if path is None else _look(path) for path in files)


def _look(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _words(error: Exception) -> str:
    """Of the system or of OpenSSL; nothing of what a file says."""
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
