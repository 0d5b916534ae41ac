"""The plots of a report, each an SVG picture with a caption that says how to read it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.figures import svg
from nnunetv2_mscs.reporting.pictures import data_uri
from nnunetv2_mscs.reporting.plots import dice_over_volume, distributions, recall_by_size, volume_agreement_plot
from nnunetv2_mscs.reporting.report.content import Notice, Plot
from nnunetv2_mscs.reporting.report.notices import notices_of_starts
from nnunetv2_mscs.reporting.training_curves import draw_training_curves, read_training_curves


def _of_labels(evaluations: Sequence[Evaluation]) -> list[tuple[str, str]]:
    """Each label, with its name in titles if there are several."""
    labels = evaluations[0].labels
    return [(label, f", {name}" if len(labels) > 1 else "") for label, name in labels.items()]


def _uri(figure: Figure) -> str:
    return data_uri(svg(figure), "image/svg+xml")


def _models(evaluations: Sequence[Evaluation]) -> str:
    return " and ".join(one.model for one in evaluations)


def plots_of_metrics(evaluations: Sequence[Evaluation]) -> tuple[Plot, ...]:
    """Distributions of the key metrics over cases."""
    lines = " A thin line joins the points of one case." if len(evaluations) > 1 else ""
    return tuple(
        Plot(
            f"Distribution over cases{about}",
            "A point is a case; the box holds the middle half of them, with the median as a thick line." + lines,
            f"Distributions of Dice, lesion F1 and HD95 over the cases of {_models(evaluations)}{about}",
            _uri(distributions(evaluations, label)),
            wide=True,
        )
        for label, about in _of_labels(evaluations)
    )


def plots_of_lesions(evaluations: Sequence[Evaluation]) -> tuple[Plot, ...]:
    """Dice over lesion volume, and the lesions found by size."""
    plots = []
    for label, about in _of_labels(evaluations):
        plots += [
            Plot(
                f"Dice over lesion volume{about}",
                "A point is a case. Cases without a lesion in the reference stand apart on the left.",
                f"Dice of each case over its reference volume, {_models(evaluations)}{about}",
                _uri(dice_over_volume(evaluations, label)),
            ),
            Plot(
                f"Lesions found by size{about}",
                "Share of the reference lesions of each size that any predicted voxel touches, with 95 % intervals.",
                f"Lesion recall by lesion size of {_models(evaluations)}{about}; the table holds the numbers",
                _uri(recall_by_size(evaluations, label)),
            ),
        ]
    return tuple(plots)


def plots_of_volumes(evaluations: Sequence[Evaluation]) -> tuple[Plot, ...]:
    """Bland and Altman's plot."""
    return tuple(
        Plot(
            f"Bland-Altman plot of the volumes{about}",
            "Points above 0 are predicted too large. Lines: bias (solid) and limits of agreement (dashed), with their "
            "95 % intervals as bands.",
            f"Differences of predicted and reference volumes over their mean, {_models(evaluations)}{about}; "
            "the table holds the numbers",
            _uri(volume_agreement_plot(evaluations, label)),
            wide=len(evaluations) > 1,
        )
        for label, about in _of_labels(evaluations)
    )


def plots_of_training(
    evaluations: Sequence[Evaluation], models: Sequence[Path | None]
) -> tuple[tuple[Plot, ...], list[Notice]]:
    """The training curves of all folds, as far as they are recorded, and notices about missing ones."""
    curves, notices = [], []
    for evaluation, folder in zip(evaluations, models, strict=True):
        if folder is None:
            continue
        notices += notices_of_starts(evaluation.model, folder)
        try:
            read = read_training_curves(folder, name=evaluation.model)
        except MscsError as error:
            notices.append(Notice("note", f"No training curves of {evaluation.model}: {error.finding}", error.remedy))
            continue
        curves.append(read)
        notices += [Notice("warning", f"{evaluation.model}: {note}") for note in read.notes]
    if not curves:
        return (), notices
    names = " and ".join(one.model for one in curves)
    plot = Plot(
        "Training",
        "A line is a fold. The pseudo-Dice is nnU-Net's estimate on random patches during training, not the Dice of "
        "whole cases.",
        f"Loss, pseudo-Dice, learning rate and epoch time over the epochs of {names}",
        _uri(draw_training_curves(curves)),
        wide=True,
    )
    return (plot,), notices
