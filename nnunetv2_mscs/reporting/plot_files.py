"""The plots of an evaluation as files: SVG for the screen, PDF for papers, PNG for slides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.figures import pdf, plot_png, svg
from nnunetv2_mscs.reporting.plots import distributions, recall_by_size, score_over_volume, volume_agreement_plot


def write_plots(folder: Path, evaluations: Sequence[Evaluation], statistics: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write each plot of each label into a folder; returns the files.

    Args:
        folder: an existing one.
        evaluations: one a model.
        statistics: what `summarise` says about each.
    """
    by_model = {one.model: its for one, its in zip(evaluations, statistics, strict=True)}
    labels = evaluations[0].labels
    files = []
    for label in labels:
        plots = {
            "dice_over_volume": score_over_volume(evaluations, label),
            "bland_altman": volume_agreement_plot(evaluations, label),
            "recall_by_size": recall_by_size(by_model, label),
            "distributions": distributions(evaluations, label),
        }
        for name, figure in plots.items():
            stem = f"{name}_{label}" if len(labels) > 1 else name
            for ending, content in (("svg", svg(figure)), ("pdf", pdf(figure)), ("png", plot_png(figure))):
                file = folder / f"{stem}.{ending}"
                file.write_bytes(content)
                files.append(file)
    return files
