"""Questioning: answers what the API asks this host, in a thread of its own, so that the loop never waits.

Place: an effect beside the loop; `look` gives the loop's state, whose values never change. One question at a
time, each within bounded time and size; whatever a question says, the thread goes on. Must not change
anything: what the operator releases is an event for the loop.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from controller.agent import doubles, glass, inquiry, listing, seeking, tracing
from controller.agent.core import Core
from controller.agent.events import Released
from controller.agent.naming import names
from controller.agent.verdict import Real
from controller.southbound import tracing as language
from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.store.questions import LONGEST_ANSWER, Question, Questions
from controller.store.wire import Connection
from model.errors import Fault, Invalid, RingfenceError, Unavailable
from model.ids import HostName
from pipelines import lookup
from pipelines.lookup import Lookup
from pipelines.shapes import fence
from pipelines.walk import Packet

LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 2.0
"""Seconds between tries while the store is away, or has no table of questions."""
_ASKING: Final = 3.0
"""Seconds for one question to the switch."""
_LOOKS: Final = 3
_MOMENT: Final = 0.3
"""Seconds: a patch of many flows takes about that long."""
_JOIN: Final = 10.0

Document = dict[str, Any]


class Questioning:
    """`connect` makes a connection to the store that nobody else uses; `rundir`, `bridge`: the switch."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        host: HostName,
        look: Callable[[], Core],
        release: Callable[[Released], None],
        rundir: Path,
        bridge: str,
    ) -> None:
        self._connect = connect
        self._host = host
        self._look = look
        self._release = release
        self._rundir, self._bridge = rundir, bridge
        self._stopping = threading.Event()
        self._questions: Questions | None = None
        self._lookup: Lookup | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="questions", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; who waits for an answer is told that this host is silent."""
        self._stopping.set()
        if self._questions is not None:
            self._questions.close()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def answer(self, question: Question) -> str:
        """The answer as JSON: `{"ok": ...}` or `{"faults": [...]}`, never longer than the store passes on."""
        faults: tuple[Fault, ...]
        try:
            text = json.dumps({"ok": self._answer(question)}, separators=(",", ":"))
            if len(text) <= LONGEST_ANSWER:
                return text
            faults = (
                Fault(
                    f"Hypervisor {self._host}", "answer-too-large", "its answer is too long", "Ask for less."
                ),
            )
        except RingfenceError as error:
            faults = error.faults
        except Exception as error:  # a defect must cost this answer, not all that follow
            LOG.exception("question not answered host=%s kind=%s", self._host, question.kind)
            message = f"its agent failed: {type(error).__name__}"
            remedy = f"Look at the log of the agent on {self._host}."
            faults = (Fault(f"Hypervisor {self._host}", "internal", message, remedy),)
        return json.dumps({"faults": [asdict(fault) for fault in faults]})

    def _answer(self, question: Question) -> Document:
        match question.kind:
            case "trace":
                asked = inquiry.sending(question.text)
                return self._settled(lambda on, real: tracing.trace(asked, on, real))
            case "arrival":
                came = inquiry.arrival(question.text)
                return self._settled(lambda on, real: tracing.arrive(came, on, real))
            case "flows":
                return self._flows(self._look(), listing.choice(question.text))
            case "evpn":
                return glass.answer(self._look(), seeking.choice(question.text), time.monotonic())
            case "evpn-release":
                spot = doubles.spot_of(question.text)
                told = doubles.released(self._look(), spot)
                if told["rows"]:
                    self._release(Released(spot))
                return told
        message = f"this agent does not know questions of kind {question.kind!a}"
        raise Invalid(Fault(f"Hypervisor {self._host}", "unknown-question", message, "Upgrade its agent."))

    def _settled(self, walk: Callable[[tracing.Ground, Real], Document]) -> Document:
        """A walk; once more after a moment if the switch differs: a change may just be on its way there."""
        for _ in range(_LOOKS):
            core = self._look()
            told = walk(self._ground(core), lambda packet, table, core=core: self._real(core, packet, table))
            if all(leg["switch"]["verdict"] != "differs" for leg in told["legs"]):
                break
            self._stopping.wait(_MOMENT)
        return told

    def _ground(self, core: Core) -> tracing.Ground:
        if self._lookup is None or self._lookup.program is not core.program:
            self._lookup = lookup.build(core.program, fence.passes() if core.effective.term else ())
        return tracing.ground(core, self._lookup)

    def _real(self, core: Core, packet: Packet, table: int) -> language.Traced:
        if not core.session:
            message = f"the agent of {self._host} has no session with its switch"
            raise Unavailable(
                Fault(f"Hypervisor {self._host}", "no-session", message, "See: ringfence status")
            )
        asked = language.question(packet)
        if table:
            text = unixctl.resume(self._rundir, self._bridge, asked, table, _ASKING)
        else:
            text = unixctl.trace(self._rundir, self._bridge, asked, _ASKING)
        return language.parse(text, packet.get("in_port", 0))

    def _flows(self, core: Core, wanted: listing.Choice) -> Document:
        channel = Channel(self._rundir / f"{self._bridge}.mgmt", Encoder(), _ASKING)
        try:
            known = names(core.effective)
            groups = core.program.index.policed.judged
            return listing.flows(wanted, known, groups, channel.active_tables, channel.dump, time.monotonic)
        finally:
            channel.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            connection = self._connect()
            self._questions = questions = Questions(connection, self._host)
            try:
                for question in questions.session(self._stopping):
                    questions.answer(question, self.answer(question))
                    self._trouble = ""
            except RingfenceError as error:
                self._note(str(error))
            except Exception as error:  # a defect must not leave the operator blind for good
                LOG.exception("questions are followed again host=%s", self._host)
                self._note(str(error))
            finally:
                connection.close()
            self._stopping.wait(_PAUSE)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble and not self._stopping.is_set():
            LOG.warning("questions can't be followed host=%s reason=%s", self._host, trouble)
        self._trouble = trouble
