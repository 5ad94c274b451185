"""Report: sums of the ledger for a half-open time [from, to), by any combination of groupings.

Place: asked by the API for the CLI and people. Only reads. Must not estimate: sums are exact integers.
`query` says what is asked and answered, `sums` adds up, `gaps` says which rows lack something, `answer` puts
them together.
"""

from accounting.classes import Direction
from accounting.report.answer import GAPS_SHOWN, report
from accounting.report.query import UNATTRIBUTED, GapLine, Grouping, Query, Report, Row

__all__ = [
    "GAPS_SHOWN",
    "UNATTRIBUTED",
    "Direction",
    "GapLine",
    "Grouping",
    "Query",
    "Report",
    "Row",
    "report",
]
