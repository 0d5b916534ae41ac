"""One style for all plots, and plots as bytes; without pyplot, which would keep every figure."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = "os^DvP"
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    # Letters as outlines look alike everywhere; a fixed salt gives the same file for the same figure.
    "svg.fonttype": "path",
    "svg.hashsalt": "nnunetv2-mscs",
}
NOTE: dict[str, Any] = {"color": "#555555", "fontsize": 8}


@contextmanager
def styled() -> Iterator[None]:
    """Make or write a figure in the common style, independent of matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for a figure made again."""
    return _written(figure, "svg", metadata={"Date": None})


def plot_png(figure: Figure) -> bytes:
    """The figure as PNG, for slides."""
    return _written(figure, "png", dpi=150)


def pdf(figure: Figure) -> bytes:
    """The figure as PDF, for papers."""
    return _written(figure, "pdf", metadata={"CreationDate": None})


def _written(figure: Figure, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    with styled():
        figure.savefig(stream, format=kind, **options)
    return stream.getvalue()


def say_nothing_to_draw(axes: Axes, text: str) -> None:
    """A sentence in place of a plot that has no values."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **NOTE)
