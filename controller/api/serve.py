"""Serve: the API on a unix socket, mode 0660, until told to stop; and a door for uploads, if one is wanted.

Place: run by `ringfenced api`. Must not serve the API over TCP: there is no token yet, and the operator's
rights are the socket's. Uploads over TLS are an application of their own.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from fastapi import FastAPI

from accounting.ledger import Ledger
from controller.api.app import create
from controller.api.books import Books
from controller.api.door import Complaints, Door
from controller.api.hearing import Hearing
from controller.api.listener import listen, server
from controller.api.service import Build, Service
from controller.api.settings import Settings, Uploads
from controller.api.sums import sums
from controller.api.upkeep import Upkeep
from controller.api.uploads import uploads
from controller.api.usage import usage
from controller.api.usage_explain import usage_explain
from controller.api.usage_export import usage_export
from controller.api.usage_live import HostWords, usage_live
from controller.api.usage_report import usage_report
from controller.store.leases import Lease
from controller.store.records import Contents, HostReport, Outcome, PortRow
from controller.store.wire import Connection
from controller.store.words import Word
from controller.store.writer import LARGE, Store, Writing
from controller.tls.papers import Current, serving
from ipam.steps import Plan
from model.ids import HostName, Uid

_LOG: Final = logging.getLogger(__name__)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def new_uid() -> Uid:
    """A random UUID."""
    return Uid(str(uuid.uuid4()))


class Cluster:
    """The store, with the cluster's settings written into it before its first use: it may start after us.

    Later it is never written again unasked: a store that was replaced by an empty one must be noticed.
    Reports bear the moment at which they were heard here.
    """

    def __init__(self, store: Store, settings: Settings, hearing: Hearing) -> None:
        self._store = store
        self._hearing = hearing
        self._settings = settings
        self._lock = threading.Lock()
        self._ready = False

    def contents(self) -> Contents:
        self._ensure()
        return self._store.contents()

    def reports(self, hosts: Iterable[HostName] | None = None) -> tuple[HostReport, ...]:
        return self._hearing.told(self._store.reports(hosts))

    def report_heads(self, hosts: Iterable[HostName]) -> tuple[HostReport, ...]:
        return self._hearing.told(self._store.report_heads(hosts))

    def want_lease(self, host: HostName, partner: HostName) -> Lease | None:
        """See Store.want_lease."""
        return self._store.want_lease(host, partner)

    def headless_reports(self) -> tuple[HostReport, ...]:
        return self._hearing.told(self._store.headless_reports())

    def report_versions(self, hosts: Iterable[HostName]) -> tuple[tuple[HostName, str], ...]:
        return self._store.report_versions(hosts)

    def host_words(self, names: Iterable[str] | None = None) -> tuple[Word, ...]:
        return self._store.host_words(names)

    def fabric_words(self) -> tuple[Word, ...]:
        return self._store.fabric_words()

    def evidence(self, names: Iterable[str] | None = None) -> tuple[Word, ...]:
        return self._store.evidence(names)

    def port_rows(self, uid: str | None = None) -> tuple[tuple[HostName, str, PortRow], ...]:
        return self._store.port_rows(uid)

    def ask(self, host: HostName, kind: str, text: str, patience: float) -> str:
        return self._store.ask(host, kind, text, patience)

    def change(
        self, build: Build, key: str, digest: str, summarise: Callable[[Plan], str]
    ) -> tuple[Plan | None, Outcome]:
        self._ensure()
        return self._store.change(build, key, digest, summarise)

    def write(
        self, build: Callable[[Contents], Writing], key: str, digest: str, patience: float = LARGE
    ) -> Outcome:
        self._ensure()
        return self._store.write(build, key, digest, patience)

    def _ensure(self) -> None:
        with self._lock:
            if not self._ready:
                wanted = self._settings
                self._store.ensure_cluster(wanted.asn, wanted.reflectors, wanted.site, wanted.policy)
                self._ready = True


def assemble(settings: Settings, store: Store, hearing: Hearing, ledger: Ledger, books: Books) -> FastAPI:
    """The application of this process; touches neither store nor ledger before the first request."""
    service = Service(Cluster(store, settings, hearing), now_ms, new_uid)
    words = HostWords(service)
    live = usage_live(ledger, words, now_ms)
    asked = (usage_report(ledger), live, usage_explain(ledger, words), usage_export(ledger), sums(ledger))
    return create(service, (usage(ledger), *asked), books=books)


def open_door(wanted: Uploads, ledger: Ledger) -> Door:
    """What agents on other hosts reach; not started. Invalid, Conflict."""
    complain = Complaints()
    return Door(wanted.place, Current(wanted.papers, serving), uploads(ledger, complain), complain)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises model.errors if it can't begin."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # uvicorn stops in good order, then raises the signal again: it must not end us before we tidy up.
        signal.signal(signal.SIGTERM, _leave)
    if settings.caller is not None:
        settings.caller.check()
    listening = listen(settings.socket, settings.group)
    store = Store(settings.store, now_ms, new_uid, partial(Connection, caller=settings.caller))
    try:
        ledger = Ledger(settings.ledger)
        upkeep = Upkeep(ledger, now_ms, settings.keep_days)
        books = Books(ledger, now_ms)
        hearing = Hearing(store.report_stamps, now_ms)
        app = assemble(settings, store, hearing, ledger, books)
        door = None if settings.uploads is None else open_door(settings.uploads, ledger)
        _LOG.info("api serves path=%s store=%s", settings.socket, settings.store)
        upkeep.start()
        books.start()
        hearing.start()
        if door is not None:
            door.start()
        try:
            server(app, settings.concurrency).run(sockets=[listening])
        finally:
            if door is not None:
                door.stop()
            hearing.stop()
            books.stop()
            upkeep.stop()
            ledger.close()
    finally:
        listening.close()
        store.close()
        settings.socket.unlink(missing_ok=True)
        _LOG.info("api stopped path=%s", settings.socket)


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(0)
