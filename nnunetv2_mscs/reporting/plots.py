"""Plots of an evaluation, or of several models on the same cases; each function makes a matplotlib figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.colours import NEUTRAL, of_model
from nnunetv2_mscs.reporting.figures import MARKERS, NOTE, say_nothing_to_draw, styled

POINT: dict[str, Any] = {"s": 22, "alpha": 0.75, "linewidths": 0.4, "edgecolors": "white"}
SEED_OF_JITTER = 0
DECADES_TO_EMPTY = 0.5
NAMES_APART = 0.1


def dice_over_volume(evaluations: Sequence[Evaluation], label: str) -> Figure:
    """Dice of each case over its reference volume, on a logarithmic axis; cases without lesion stand apart."""
    with styled():
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        axes = figure.subplots()
        volumes = [one.column("volume_reference_ml", label) for one in evaluations]
        positive = np.concatenate([volume[volume > 0] for volume in volumes])
        lowest = float(positive.min()) if positive.size else 1.0
        at_empty = lowest / 10 ** (2 * DECADES_TO_EMPTY)
        for i, (one, volume) in enumerate(zip(evaluations, volumes, strict=True)):
            x = np.where(volume > 0, volume, at_empty * 10 ** _jitter(len(volume), 0.12, i))
            dice, marker = one.column("dice", label), MARKERS[i % len(MARKERS)]
            axes.scatter(x, dice, color=of_model(i), marker=marker, label=one.model, **POINT)
        axes.set_xscale("log")
        if any((volume == 0).any() for volume in volumes):
            _mark_empty(axes, at_empty, lowest / 10**DECADES_TO_EMPTY)
        axes.set_xlabel("Reference volume (mL)")
        axes.set_ylabel(METRICS["dice"].title)
        axes.set_ylim(-0.04, 1.04)
        axes.set_title(_counted("Dice over lesion volume", len(volumes[0])), loc="left")
        if len(evaluations) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(evaluations), 3))
        return figure


def _mark_empty(axes: Axes, place: float, border: float) -> None:
    """A strip of its own for cases whose reference is empty, which a logarithmic axis cannot hold."""
    right = axes.get_xlim()[1]
    axes.axvspan(place / 3, border, color="#f3f3f3", zorder=0)
    axes.set_xlim(place / 3, right)
    axes.set_xticks([tick for tick in axes.get_xticks() if border < tick <= right] + [place])
    axes.set_xticklabels([f"{tick:g}" for tick in axes.get_xticks()[:-1]] + ["no\nlesion"])
    axes.tick_params(axis="x", which="minor", bottom=False)


def volume_agreement_plot(evaluations: Sequence[Evaluation], label: str) -> Figure:
    """Bland and Altman's plot of two volumes, one panel per model, with the bias and limits of its statistics.

    The axis of the volumes is linear up to 1 mL and logarithmic beyond; that of the differences is linear.
    """
    with styled():
        figure = Figure(figsize=(max(5.2, 4.2 * len(evaluations)), 3.8), layout="constrained")
        row = figure.subplots(1, len(evaluations), squeeze=False, sharex=True, sharey=True)[0]
        volumes = [
            tuple(one.column(f"volume_{of}_ml", label) for of in ("reference", "prediction")) for one in evaluations
        ]
        largest = max(float(((reference + prediction) / 2).max(initial=1)) for reference, prediction in volumes)
        limits = [one.statistics["labels"][label]["volume_agreement"]["bland_altman"] for one in evaluations]
        for i, (axes, one) in enumerate(zip(row, evaluations, strict=True)):
            reference, prediction = volumes[i]
            mean = (reference + prediction) / 2
            axes.set_xscale("symlog", linthresh=1, linscale=0.6)
            axes.set_xlim(-0.1, 1.3 * largest)
            axes.scatter(mean, prediction - reference, color=of_model(i), marker=MARKERS[i % len(MARKERS)], **POINT)
            _draw_limits(axes, limits[i])
            axes.set_title(_counted(one.model, len(mean)), loc="left")
            axes.set_xlabel("Mean of the two volumes (mL)")
            axes.xaxis.set_major_formatter("{x:g}")
        for axes, one_limits in zip(row, limits, strict=True):
            _name_limits(axes, one_limits)
        row[0].set_ylabel("Prediction − reference (mL)")  # noqa: RUF001
        return figure


def _draw_limits(axes: Axes, limits: Mapping[str, Any]) -> None:
    """Bias and limits of agreement, with their intervals as bands."""
    for name, line in (("upper", "--"), ("bias", "-"), ("lower", "--")):
        value, (low, high) = limits[f"{name}_ml"], limits[f"{name}_ci_ml"]
        if value is not None:
            axes.axhline(value, color=NEUTRAL, linestyle=line, linewidth=1)
        if low is not None:
            axes.axhspan(low, high, color=NEUTRAL, alpha=0.12, linewidth=0)


def _name_limits(axes: Axes, limits: Mapping[str, Any]) -> None:
    """Name the lines at the right of a finished panel, far enough apart to be read."""
    low, high = axes.get_ylim()
    names = {"upper": "upper limit", "bias": "bias", "lower": "lower limit"}
    known = {name: limits[f"{name}_ml"] for name in names if limits[f"{name}_ml"] is not None}
    places = {name: (value - low) / (high - low) for name, value in known.items()}
    if len(places) > 1:
        places["upper"] = max(places["upper"], places["bias"] + NAMES_APART)
        places["lower"] = min(places["lower"], places["bias"] - NAMES_APART)
    for name, value in known.items():
        text = f"{names[name]}\n{value:+.1f}"
        axes.text(1.01, places[name], text, transform=axes.transAxes, ha="left", va="center", **NOTE)


def recall_by_size(evaluations: Sequence[Evaluation], label: str) -> Figure:
    """Share of the reference lesions found, by their size, with 95 % intervals over cases."""
    with styled():
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        axes = figure.subplots()
        by_model = {one.model: one.statistics["labels"][label]["lesions_by_size"] for one in evaluations}
        sizes = next(iter(by_model.values()))
        width = 0.8 / len(by_model)
        for i, (model, groups) in enumerate(by_model.items()):
            places = np.arange(len(sizes)) + (i - (len(by_model) - 1) / 2) * width
            recall, low, high = (
                np.array([groups[size][key] for size in sizes], dtype=float) for key in ("recall", "ci_low", "ci_high")
            )
            axes.bar(places, recall, 0.86 * width, color=of_model(i), label=model)
            known = ~np.isnan(low) & ~np.isnan(high)
            beyond = np.clip(np.array([recall - low, high - recall])[:, known], 0, None)
            axes.errorbar(places[known], recall[known], beyond, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
            for place in places[np.isnan(recall)]:
                axes.text(place, 0.02, "none", ha="center", va="bottom", rotation=90, **NOTE)
        titles = [f"{group['title']}\n{_counted_lesions(group)}" for group in sizes.values()]
        axes.set_xticks(range(len(sizes)), titles, fontsize=7.5)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(0, 1.04)
        axes.set_ylabel("Lesions found (ISLES'22 rule)")
        axes.set_title("Lesion recall by size", loc="left")
        if len(by_model) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(by_model), 4))
        return figure


def _counted_lesions(group: Mapping[str, Any]) -> str:
    lesions, cases = group["lesions"], group["cases"]
    return f"{lesions} lesion{'s' * (lesions != 1)}\n{cases} case{'s' * (cases != 1)}"


def distributions(
    evaluations: Sequence[Evaluation], label: str, columns: Sequence[str] = ("dice", "f1_isles22", "hd95_mm")
) -> Figure:
    """Each metric by model: a box (quartiles, whiskers to the farthest case within 1.5 of their distance), every case
    as a point, and a line between the points of one case.

    One panel per column of METRICS; the models' cases are matched by name.
    """
    with styled():
        width = max(2.6, 0.6 + 0.95 * len(evaluations)) * len(columns)
        figure = Figure(figsize=(width, 3.8), layout="constrained")
        for axes, column in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
            _draw_distribution(axes, evaluations, label, column)
        if len(evaluations) > 1:
            handles = [figure.axes[0].collections[-len(evaluations) + i] for i in range(len(evaluations))]
            names = [one.model for one in evaluations]
            figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 3))
        return figure


def _draw_distribution(axes: Axes, evaluations: Sequence[Evaluation], label: str, column: str) -> None:
    by_model = [one.of_label(label).set_index("case")[column] for one in evaluations]
    cases = list(dict.fromkeys(case for one in by_model for case in one.index))
    values = np.array([one.reindex(cases).to_numpy(float) for one in by_model])
    if np.isnan(values).all():
        say_nothing_to_draw(axes, f"{METRICS[column].title}:\nnot defined for any case")
        return
    shift = _jitter(len(cases), 0.12, 0)
    places = np.arange(len(values))
    if len(values) > 1:
        axes.plot(places[:, None] + shift, values, color="#999999", linewidth=0.5, alpha=0.5, zorder=1)
    defined = [row[~np.isnan(row)] for row in values]
    axes.boxplot(
        defined,
        positions=places,
        widths=0.5,
        showfliers=False,
        zorder=2,
        medianprops={"color": "black", "linewidth": 1.6},
        boxprops={"color": NEUTRAL},
        whiskerprops={"color": NEUTRAL},
        capprops={"color": NEUTRAL},
    )
    for i, row in enumerate(values):
        axes.scatter(places[i] + shift, row, color=of_model(i), marker=MARKERS[i % len(MARKERS)], zorder=3, **POINT)
    ticks = [f"n = {len(d)}" + (f"\n{len(cases) - len(d)} undefined" if len(d) < len(cases) else "") for d in defined]
    axes.set_xticks(places, ticks, fontsize=8)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.set_title(METRICS[column].title, loc="left")
    if METRICS[column].kind == "score":
        axes.set_ylim(-0.04, 1.04)


def _jitter(count: int, width: float, seed: int) -> np.ndarray:
    """Small shifts that keep points apart, the same every time."""
    return np.random.default_rng((SEED_OF_JITTER, seed)).uniform(-width, width, count)


def _counted(title: str, n: int) -> str:
    return f"{title} (n = {n})"
