"""Picture: curves as a PNG or an SVG file, by matplotlib.

Place: under `ringfence egress plot`; the only file that imports matplotlib. Must not leave anything to chance
or to the clock: equal charts are equal files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from accounting.curves import HOUR, Chart, merged, step_of, unit_of
from accounting.sizes import human

# Okabe and Ito's colours, told apart also by the colour-blind; yellow, too pale for areas, comes late.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_INK: Final = "#222222"
_INCHES: Final = (11.0, 5.0)
_DPI: Final = 144
_STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.hashsalt": "ringfence",
    "svg.fonttype": "path",
    "axes.unicode_minus": False,
    "hatch.linewidth": 0.6,
}
_SEEN: Final = 250
"""A gap is drawn at least this part of the time wide."""


def draw(path: str, chart: Chart, gaps: Sequence[tuple[int, int]], words: tuple[str, str]) -> None:
    """Write the file; its ending says which kind. `words`: title, and the line below it."""
    with rc_context(_STYLE):
        figure = Figure(figsize=_INCHES, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        base = [0] * (len(chart.edges) - 1)
        top = [sum(column) for column in zip(*(curve.values for curve in chart.curves), strict=True)] or base
        size, unit = unit_of(top)
        edges = [_number(at) for at in chart.edges]
        handles = []
        for curve, colour in zip(chart.curves, COLOURS, strict=False):
            above = [low + more for low, more in zip(base, curve.values, strict=True)]
            heights, feet = [v / size for v in above], [v / size for v in base]
            axes.stairs(heights, edges, baseline=feet, fill=True, color=colour, linewidth=0)
            axes.stairs(heights, edges, baseline=None, color="white", linewidth=0.5)
            handles.append(Patch(color=colour, label=f"{curve.label}   {human(curve.total)}"))
            base = above
        handles.reverse()  # as they are stacked
        handles += _shade(axes, chart, gaps)
        _frame(axes, chart, unit, max(top, default=0) / size)
        axes.set_title(words[0], loc="left", fontsize=14, fontweight="bold", color=_INK, pad=28)
        _write(axes, words[1], (0, 1), (0, 10), ha="left", fontsize=9.5)
        if not chart.total:
            _write(axes, "nothing was counted", (0.5, 0.5), (0, 0), ha="center", fontsize=11)
        if handles:
            axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        kind = path.rpartition(".")[2]
        nothing = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, dpi=_DPI, metadata=nothing)


def _shade(axes: Any, chart: Chart, gaps: Sequence[tuple[int, int]]) -> list[Patch]:
    """Where something could not be counted; what the legend says of it."""
    least = (chart.edges[-1] - chart.edges[0]) // _SEEN
    hatched: dict[str, Any] = {"edgecolor": "#333333", "hatch": "////", "linewidth": 0.6}
    for begin, end in merged(gaps, least):
        span = (_number(begin), _number(end))
        axes.axvspan(*span, zorder=3, facecolor="#000000", alpha=0.16, linewidth=0)
        axes.axvspan(*span, zorder=3, facecolor="none", **hatched)
    return [Patch(facecolor="#d6d6d6", label="gap: not all counted", **hatched)] if gaps else []


def _frame(axes: Any, chart: Chart, unit: str, highest: float) -> None:
    axes.set_xlim(_number(chart.edges[0]), _number(chart.edges[-1]))
    axes.set_ylim(0, highest * 1.08 or 1)
    locator = AutoDateLocator(minticks=4, maxticks=9, tz=UTC)
    axes.xaxis.set_major_locator(locator)
    # Of years, months, days, hours, minutes, seconds; then the same where the next larger one begins.
    texts = ["%Y", "%b %Y", "%b %d", "%H:%M", "%H:%M", "%H:%M:%S"]
    begins = ["%Y", "%b %Y", "%b %d", "%b %d", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, tz=UTC, formats=texts, zero_formats=begins, show_offset=False)
    )
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    step = "hour" if step_of(chart.edges[0], chart.edges[-1]) == HOUR else "day"
    axes.set_ylabel(f"{unit} per {step}", color=_INK)
    axes.set_xlabel("time (UTC)", color=_INK)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _write(axes: Any, text: str, at: tuple[float, float], off: tuple[int, int], **look: Any) -> None:
    """Grey text at a part of the axes, so many points away."""
    axes.annotate(
        text, at, off, xycoords="axes fraction", textcoords="offset points", color="#555555", **look
    )


def _number(at_ms: int) -> float:
    return float(date2num(datetime.fromtimestamp(at_ms / 1000, UTC)))
