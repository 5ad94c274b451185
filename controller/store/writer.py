"""Writer: the store as its callers see it: plans written in one durable transaction, bindings, reports.

Place: the API holds one Store for all its threads; each agent holds one for its own writes. Must not allocate
or judge: plans come ready-made from `ipam`, the server's indexes and waits decide who was first.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.store import bindings, founding, leases, questions, reports, rows, words
from controller.store.assembly import TABLES, WANTED_COLUMNS, Assembly
from controller.store.cache import Cache
from controller.store.faults import Lost, Raced
from controller.store.leases import Hold, Lease
from controller.store.operations import count_change, request, request_uid, translate
from controller.store.records import DATABASE, Contents, HostReport, Outcome, PortRow
from controller.store.reports import Saying
from controller.store.statements import Operation, by_uid, select
from controller.store.wire import Connection
from controller.store.words import Word
from ipam.steps import Plan
from model.addresses import Address
from model.errors import Conflict, Fault, RingfenceError, Unavailable
from model.ids import HostName, Uid
from model.intent import Binding, Cluster, Policy

log = logging.getLogger(__name__)
_USUAL: Final = Policy()

LARGE: Final = 60.0
"""Seconds for a transaction: one of 10,000 rows takes half a second when the server is idle."""


def clock() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


def random_uid() -> Uid:
    """A random UUID (RFC 9562 section 5.4)."""
    return Uid(str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Writing:
    """Operations that end with those of `operations.raise_generation`; `result`: kept with the idempotency
    key; `now`: Unix ms."""

    operations: tuple[Operation, ...]
    result: str
    now: int


class Store:
    """`connect` makes connections (one for writes, one for the cache); `now`: Unix ms."""

    def __init__(
        self,
        remote: str,
        now: Callable[[], int] = clock,
        new_uid: Callable[[], Uid] = random_uid,
        connect: Callable[[str], Connection] = Connection,
    ) -> None:
        self._remote, self._connect = remote, connect
        self._connection = connect(remote)
        self._now = now
        self._new_uid = new_uid
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._cache: Cache | None = None
        self._seen: tuple[Uid | None, int] = (None, 0)

    def close(self) -> None:
        """End the cache and let go of the connections."""
        with self._starting:
            if self._cache is not None:
                self._cache.stop()
                self._cache = None
        self._connection.close()

    def ensure_cluster(
        self, asn: int, reflectors: Sequence[Address], site: int = 0, policy: Policy = _USUAL
    ) -> Cluster:
        """See founding.ensure."""
        return founding.ensure(self._connection, self._new_uid, asn, reflectors, site, policy)

    def read_all(self) -> Contents:
        """Everything, by one select: for one-shot programs. Servers use `contents`."""
        operations = [select(table, [], ("_uuid", *WANTED_COLUMNS[table])) for table in TABLES]
        results = self._connection.read(DATABASE, operations, LARGE)
        updates: dict[str, dict[str, dict[str, Any]]] = {
            table: {rows.reference(row["_uuid"]): {"new": row} for row in result["rows"]}
            for table, result in zip(TABLES, results, strict=True)
        }
        return Assembly().feed(updates)

    def contents(self) -> Contents:
        """Everything, from the monitored cache: at least as new as this Store's last write."""
        with self._starting:
            if self._cache is None:
                self._cache = Cache(self._connect(self._remote))
                self._cache.start()
            cache = self._cache
        return cache.at_least(*self._seen)

    def apply(self, contents: Contents, plan: Plan, key: str, digest: str, result: str) -> Outcome:
        """Write a plan that was made on `contents`, in one durable transaction with its idempotency row.

        `key` empty: none was given (a random one guards against a lost answer). Same key and digest as
        before: the old outcome, nothing written. Raises Conflict (`idempotency-key-reused`) for another
        digest; Raced if the contents were too old: plan again.
        """
        key = key or f"auto-{self._new_uid()}"
        operations = [*translate(contents, plan), *count_change(plan)]
        return self._commit(operations, key, digest, result, plan.now)

    def _commit(self, changes: Sequence[Operation], key: str, digest: str, result: str, now: int) -> Outcome:
        """`changes` with the idempotency row; the last of them reads the cluster's row."""
        operations = [*request(key, digest, result, now), *changes]
        for _ in range(founding.ATTEMPTS):
            try:
                results = self._connection.commit(DATABASE, operations, LARGE)
            except Lost:
                # It may have been done: its Request row tells, and refuses the repetition if it still comes.
                earlier = self._recall(key, digest)
                if earlier is not None:
                    return replace(earlier, replayed=False)
                continue
            except Raced:
                earlier = self._recall(key, digest)
                if earlier is not None:
                    return earlier
                raise
            return self._note(results[-1]["rows"], result, replayed=False)
        raise Unavailable(Fault("store", "connection-lost", "the store keeps going away", "Try again later."))

    def change(
        self, build: Callable[[Contents], Plan], key: str, digest: str, summarise: Callable[[Plan], str]
    ) -> tuple[Plan | None, Outcome]:
        """Plan on current contents and write, planning again if another writer was faster.

        Returns the plan (None if the key was known: see `Outcome.result`) and the outcome. A plan that
        changes nothing, without a key, is not written. Raises what `build` and `apply` raise.
        """
        # One at a time in this process: threads that race each other would only plan again.
        if not self._writing.acquire(timeout=LARGE):
            raise Unavailable(Fault("store", "store-busy", "other writes take too long", "Try again later."))
        try:
            earlier = self._recall(key, digest) if key else None
            if earlier is not None:
                return None, earlier
            return self._plan_and_apply(build, key, digest, summarise)
        finally:
            self._writing.release()

    def write(
        self, build: Callable[[Contents], Writing], key: str, digest: str, patience: float = LARGE
    ) -> Outcome:
        """Write what `build` makes of current contents, building again while other writers are faster, for up
        to `patience` seconds. `key`, `digest`: as for `apply`. Raises what `build` raises.
        """
        end = time.monotonic() + patience
        if not self._writing.acquire(timeout=patience):
            raise Unavailable(Fault("store", "store-busy", "other writes take too long", "Try again later."))
        try:
            earlier = self._recall(key, digest) if key else None
            if earlier is not None:
                return earlier
            key = key or f"auto-{self._new_uid()}"
            while True:
                contents = self.contents()
                made = build(contents)
                try:
                    return self._commit(made.operations, key, digest, made.result, made.now)
                except Raced as error:
                    if time.monotonic() >= end:
                        raise
                    log.info("building again: %s", error)
                    self._catch_up()
        finally:
            self._writing.release()

    def _plan_and_apply(
        self, build: Callable[[Contents], Plan], key: str, digest: str, summarise: Callable[[Plan], str]
    ) -> tuple[Plan | None, Outcome]:
        race = founding.restless()
        for _ in range(founding.ATTEMPTS):
            contents = self.contents()
            plan = build(contents)
            if not plan and not key and contents.cluster is not None:
                return plan, Outcome(contents.cluster.generation, summarise(plan), replayed=False)
            try:
                outcome = self.apply(contents, plan, key, digest, summarise(plan))
            except Raced as error:
                log.info("planning again: %s", error)
                race = error
                self._catch_up()
                continue
            return (None if outcome.replayed else plan), outcome
        raise race

    def bind(self, port: Uid, host: HostName, least: int = 0, hold: Hold | None = None) -> Binding:
        """See bindings.bind."""
        return bindings.bind(self._connection, port, host, least, hold)

    def bind_all(
        self, ports: Sequence[Uid], host: HostName, least: Mapping[Uid, int], hold: Hold | None = None
    ) -> tuple[Binding | RingfenceError, ...]:
        """See bindings.bind_all."""
        return bindings.bind_all(self._connection, ports, host, least, hold)

    def want_lease(self, host: HostName, partner: HostName) -> Lease | None:
        """See leases.want; None if nobody ever held it."""
        pair = leases.pair_of(host, partner)
        found = leases.read(self._connection, pair)
        return found if found is None or found.holder == host else leases.want(self._connection, pair, host)

    def unbind(self, port: Uid, host: HostName) -> None:
        """See bindings.unbind."""
        bindings.unbind(self._connection, port, host)

    def put_report(self, host: HostName, report: str, stamp: int) -> None:
        """Replace the host's report (JSON text that says all; `stamp` in Unix ms). Not forced to disk."""
        reports.put_whole(self._connection, host, report, stamp)

    def say(self, host: HostName, saying: Saying, known: frozenset[str] | None) -> None:
        """See reports.amend, and reports.replace for `known` None."""
        if known is None:
            reports.replace(self._connection, host, saying)
        else:
            reports.amend(self._connection, host, saying, known)

    def reports(self, hosts: Iterable[HostName] | None = None) -> tuple[HostReport, ...]:
        """The last reports of all hosts, or of some, by name."""
        return reports.read(self._connection, hosts)

    def report_heads(self, hosts: Iterable[HostName]) -> tuple[HostReport, ...]:
        """The same without what is long, where the host writes it apart."""
        return reports.read_heads(self._connection, hosts)

    def headless_reports(self) -> tuple[HostReport, ...]:
        """Those of hosts that say everything in one text, their interfaces included."""
        return reports.read_headless(self._connection)

    def report_versions(self, hosts: Iterable[HostName]) -> tuple[tuple[HostName, str], ...]:
        """(host, what changes with each report), by host: who polls need not read the same reports again."""
        return reports.read_versions(self._connection, hosts)

    def report_stamps(self) -> tuple[tuple[HostName, int], ...]:
        """(host, Unix ms of its last report by its own clock), by host."""
        return reports.read_stamps(self._connection)

    def port_rows(self, uid: str | None = None) -> tuple[tuple[HostName, str, PortRow], ...]:
        """(host, uid, row) of every interface that hosts say something of, or of those with one uid."""
        return reports.read_ports(self._connection, uid)

    def move(self, changes: Sequence[Operation]) -> None:
        """Commit changes that hold only if their own waits do, such as `gangs.advance`. Raced: they do not;
        Lost: nobody knows. In both cases look again: doing it twice is refused by the waits.
        """
        self._connection.commit(DATABASE, changes, LARGE)

    def say_of_host(self, word: Word) -> None:
        """See words.put_host."""
        words.put_host(self._connection, word)

    def say_of_fabric(self, word: Word) -> None:
        """See words.put_fabric."""
        words.put_fabric(self._connection, word)

    def follow_fabric(self, word: Word, before: int | None) -> None:
        """See words.follow_fabric."""
        words.follow_fabric(self._connection, word, before)

    def host_words(self, names: Iterable[str] | None = None) -> tuple[Word, ...]:
        """What hosts say of gangs; see words.hosts."""
        return words.hosts(self._connection, names)

    def fabric_words(self) -> tuple[Word, ...]:
        """What fabrics say of gangs."""
        return words.fabrics(self._connection)

    def evidence(self, names: Iterable[str] | None = None) -> tuple[Word, ...]:
        """What hosts say of rules; see words.evidence."""
        return words.evidence(self._connection, names)

    def ask(self, host: HostName, kind: str, text: str, patience: float) -> str:
        """See questions.ask. On a connection of its own: others need not wait for who waits."""
        connection = self._connect(self._remote)
        try:
            question = questions.Question(self._new_uid(), host, kind, text)
            return questions.ask(connection, question, self._now(), patience)
        finally:
            connection.close()

    def generation(self) -> int:
        """The cluster's generation now; 0 if there is no cluster."""
        found = founding.read(self._connection)
        return 0 if found is None else found.generation

    def _recall(self, key: str, digest: str) -> Outcome | None:
        where = by_uid(request_uid(key))
        found, cluster = self._connection.read(
            DATABASE,
            [select("Request", where, ("digest", "result")), select("Cluster", [], ("_uuid", "generation"))],
        )
        if not found["rows"]:
            return None
        row = found["rows"][0]
        if row["digest"] != digest:
            raise Conflict(
                Fault(
                    f"request {key}",
                    "idempotency-key-reused",
                    "this idempotency key belongs to another request",
                    "Use a new key for each new request.",
                )
            )
        return self._note(cluster["rows"], row["result"], replayed=True)

    def _note(self, found: Sequence[dict[str, Any]], result: str, *, replayed: bool) -> Outcome:
        if not found:
            return Outcome(0, result, replayed)
        uid, generation = rows.reference(found[0]["_uuid"]), found[0]["generation"]
        self._seen = (uid, generation)
        return Outcome(generation, result, replayed)

    def _catch_up(self) -> None:
        found = founding.read(self._connection)
        if found is not None:
            self._seen = (found.uid, found.generation)
