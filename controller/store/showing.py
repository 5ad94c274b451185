"""Showing: what ovsdb-server shows to its clients over TLS, and whose certificates it believes.

Place: under `server`, which gives ovsdb-server the copies that are kept here. It reads files whenever they
change, one by one, and would go on with half of a new pair: so it sees only what fits together. Must not
say a key.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from typing import Final

from controller.tls.papers import Current, Papers, serving
from model.errors import Fault, Invalid

_LEAST: Final = """openssl_conf = whole
[whole]
ssl_conf = protocols
[protocols]
system_default = least
[least]
MinProtocol = TLSv1.3
"""
"""ovsdb-server has no word for TLS 1.3: its --ssl-protocols knows older ones, and switches this one off."""


class Showing:
    """Copies of the papers of a server, in a folder of its own beside its socket, for its own user alone."""

    def __init__(self, papers: Papers, beside: Path) -> None:
        """Invalid: which file is wrong."""
        self._current = Current(papers, self._take)
        serving(papers)  # before anything is made
        self._folder = tempfile.TemporaryDirectory(prefix="store-tls-", dir=beside)
        folder = Path(self._folder.name)
        self._files = Papers(folder / "certificate", folder / "key", folder / "authorities")
        self._settings = folder / "openssl.cnf"
        self._settings.write_text(_LEAST)
        try:
            self.renew()
        except BaseException:
            self.close()
            raise

    def options(self) -> list[str]:
        """For the command line of ovsdb-server."""
        files = self._files
        return [
            f"--private-key={files.key}",
            f"--certificate={files.certificate}",
            f"--ca-cert={files.authorities}",
        ]

    def environment(self) -> dict[str, str]:
        """For its process."""
        return {**os.environ, "OPENSSL_CONF": str(self._settings)}

    def renew(self) -> None:
        """Look at the files; what they say is shown from the next connection on. See `papers.Current`."""
        self._current.context()

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()

    def _take(self, papers: Papers) -> ssl.SSLContext:
        serving(papers)  # an error names the file that was named to us, not the copy
        pairs = (
            # ovsdb-server reads neither before both have changed, and looks at the key first.
            (papers.certificate, self._files.certificate),
            (papers.key, self._files.key),
            (papers.authorities, self._files.authorities),
        )
        for source, copy in pairs:
            _copy(source, _new(copy))
        context = serving(Papers(*(_new(copy) for _, copy in pairs)))  # one may have changed meanwhile
        for _, copy in pairs:
            _new(copy).replace(copy)
        return context


def _copy(source: Path, target: Path) -> None:
    try:
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(source.read_bytes())
    except OSError as error:
        message = f"it can't be copied for the store: {error.strerror}"
        remedy = f"Let who runs the store read it, and keep room in {target.parent.parent}."
        raise Invalid(Fault(str(source), "certificate-file", message, remedy)) from None


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
