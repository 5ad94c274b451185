"""`ringfence egress verify`: is a chained export as it was written?

Place: reads files only. Must not need the API, nor a price list.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import OK, REFUSED

if TYPE_CHECKING:
    from controller.cli.session import Session

FORMS: Final = ("table", "json", "yaml")
_SHOWN: Final = 20
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Finds lines of a chained export that were changed, left out, moved, added or cut off, and names "
        "them. Several files are months that follow each other. Whoever can write a file can write all of it "
        "anew: what shows that is a last hash that was kept elsewhere (--last), or the next month's file."
    )
    parser.epilog = (
        "examples:\n  ringfence egress verify 2026-11.jsonl\n"
        "  ringfence egress verify 2026-10.jsonl 2026-11.jsonl 2026-12.jsonl\n"
        "  ringfence egress verify 2026-11.jsonl --after 2026-10.jsonl\n"
        "  ringfence egress verify 2026-11.jsonl --last 5f3c...   the hash that the customer was given"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="chained exports, in their order")
    parser.add_argument("--after", metavar="FILE", help="the file that the first one goes on from")
    parser.add_argument("--last", metavar="HASH", help="what the last hash of the last file must be")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Judge each file; REFUSED if one has a finding."""
    from controller.cli.chain_files import judge, last_of

    if arguments.last and not _HASH.fullmatch(arguments.last):
        raise Wrong(f"--last {arguments.last!a} is no SHA-256: 64 of 0-9 and a-f")
    before = last_of(arguments.after) if arguments.after else None
    files = []
    for path in arguments.files:
        found = judge(path)
        findings = [{"line": f.line, "flaw": f.flaw.value, "message": f.message} for f in found.findings]
        if before is not None and found.header is not None and found.first != before:
            message = f"it goes on from {found.first}, the file before it ends with {before or 'no hash'}"
            findings.insert(0, {"line": 1, "flaw": "begin", "message": message})
        before = found.last
        sums = (found.footer or {}).get("sums", {}) if not findings else {}
        files.append(
            {"file": path, "rows": found.rows, "sums": sums, "last": found.last, "findings": findings}
        )
    if arguments.last and files[-1]["last"] != arguments.last:
        message = f"its last hash is {files[-1]['last'] or 'missing'}, not {arguments.last}"
        files[-1]["findings"].append({"line": 0, "flaw": "last", "message": message})
    whole = not any(file["findings"] for file in files)
    session.show({"whole": whole, "files": files}, lambda value: _table(session, value))
    return OK if whole else REFUSED


def _table(session: Session, value: Any) -> None:
    for file in value["files"]:
        for finding in file["findings"][:_SHOWN]:
            where = f"{file['file']}:{finding['line']}" if finding["line"] else file["file"]
            session.line(f"{where}: {finding['flaw']}: {finding['message']}")
        if len(file["findings"]) > _SHOWN:
            session.line(f"{file['file']}: and {len(file['findings']) - _SHOWN} more: see -o json")
        if not file["findings"]:
            sums = ", ".join(f"{name} {total}" for name, total in file["sums"].items())
            session.line(f"{file['file']}: whole: {file['rows']} rows, {sums}; last hash {file['last']}")
