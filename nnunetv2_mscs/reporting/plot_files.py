"""The plots of an evaluation as files: SVG for the screen, PDF for papers, PNG for slides."""

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.figures import pdf, plot_png, svg
from nnunetv2_mscs.reporting.plots import dice_over_volume, distributions, recall_by_size, volume_agreement_plot


def write_plots(folder: Path, evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> list[Path]:
    """Write each plot of each label into a folder; returns the files.

    The folder exists; the evaluations have their statistics; no plot needs the comparison.
    """
    labels = evaluations[0].labels
    files = []
    for label in labels:
        plots = {
            "dice_over_volume": dice_over_volume(evaluations, label),
            "bland_altman": volume_agreement_plot(evaluations, label),
            "recall_by_size": recall_by_size(evaluations, label),
            "distributions": distributions(evaluations, label),
        }
        for name, figure in plots.items():
            stem = f"{name}_{label}" if len(labels) > 1 else name
            for ending, content in (("svg", svg(figure)), ("pdf", pdf(figure)), ("png", plot_png(figure))):
                file = folder / f"{stem}.{ending}"
                file.write_bytes(content)
                files.append(file)
    return files
