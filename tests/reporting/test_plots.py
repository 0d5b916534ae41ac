"""What the plots draw is what the evaluation says."""

import sys

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS
from nnunetv2_mscs.evaluation.results import Evaluation, case_table
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, with_statistics
from nnunetv2_mscs.reporting.figures import pdf, plot_png, svg
from nnunetv2_mscs.reporting.plots import dice_over_volume, distributions, recall_by_size, volume_agreement_plot
from tests.evaluation.random_evaluation import case_row, changed

SETTINGS = StatisticsSettings(samples=200)


def evaluation(model: str, seed: int, *, n: int = 30, empty: int = 4) -> Evaluation:
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99)
    volumes = truth.lognormal(1, 2, n)
    volumes[:empty] = 0
    rows = []
    for i, volume in enumerate(volumes):
        values = {column: float(rng.random()) for column in METRICS}
        values["volume_reference_ml"] = float(volume)
        values["volume_prediction_ml"] = float(volume * rng.uniform(0.5, 1.5) + 0.1)
        values["hd95_mm"] = float("nan") if volume == 0 else float(rng.uniform(0, 40))
        lesions = truth.integers(0, 3, len(SIZE_COLUMNS) // 2)
        found = [int(rng.integers(0, k + 1)) for k in lesions]
        values.update(zip(SIZE_COLUMNS, [float(v) for v in (*lesions, *found)], strict=True))
        rows.append(case_row(f"case_{i:02d}", values, fold=i % 5, reference_empty=volume == 0))
    return with_statistics(Evaluation(model, "p", "r", {"1": "lesion"}, case_table(rows)), SETTINGS)


@pytest.fixture
def models() -> list[Evaluation]:
    return [evaluation("ours", 1), evaluation("theirs", 2)]


def test_every_case_has_its_point_and_empty_ones_stand_apart(models):
    axes = dice_over_volume(models, "1").axes[0]
    assert len(axes.collections) >= 2
    for points, model in zip(axes.collections, models, strict=False):
        x, y = np.asarray(points.get_offsets()).T
        volume = model.column("volume_reference_ml", "1")
        np.testing.assert_allclose(y, model.column("dice", "1"))
        np.testing.assert_allclose(x[volume > 0], volume[volume > 0])
        assert x[volume == 0].max() < volume[volume > 0].min() / 2
    assert any("no\nlesion" in label.get_text() for label in axes.get_xticklabels())


def test_without_empty_cases_there_is_no_place_for_them():
    axes = dice_over_volume([evaluation("ours", 1, empty=0)], "1").axes[0]
    assert not any("lesion" in label.get_text() for label in axes.get_xticklabels())


def test_limits_of_agreement_are_those_of_the_statistics(models):
    figure = volume_agreement_plot(models, "1")
    for axes, model in zip(figure.axes, models, strict=True):
        reference, prediction = model.column("volume_reference_ml", "1"), model.column("volume_prediction_ml", "1")
        limits = model.statistics["labels"]["1"]["volume_agreement"]["bland_altman"]
        drawn = sorted(line.get_ydata()[0] for line in axes.lines)
        assert drawn == pytest.approx([limits[f"{name}_ml"] for name in ("lower", "bias", "upper")])
        points = np.asarray(axes.collections[0].get_offsets())
        np.testing.assert_allclose(points, np.stack([(reference + prediction) / 2, prediction - reference], axis=1))
        assert f"n = {len(reference)}" in axes.get_title(loc="left")


@pytest.mark.parametrize("larger", [0, 1])
def test_every_point_of_every_panel_is_inside_it(models, larger):
    column = "volume_prediction_ml"
    enlarged = changed(models[larger], lambda i, row: {column: 40 * row[column] + 500})
    models[larger] = with_statistics(enlarged, SETTINGS)
    for axes in volume_agreement_plot(models, "1").axes:
        x, y = np.asarray(axes.collections[0].get_offsets()).T
        assert axes.get_xlim()[0] <= x.min()
        assert x.max() <= axes.get_xlim()[1]
        assert axes.get_ylim()[0] <= y.min()
        assert y.max() <= axes.get_ylim()[1]


def test_recall_bars_and_their_intervals(models):
    axes = recall_by_size(models, "1").axes[0]
    for bars, one in zip(axes.containers[::2], models, strict=True):
        groups = one.statistics["labels"]["1"]["lesions_by_size"]
        assert [bar.get_height() for bar in bars] == pytest.approx([group["recall"] for group in groups.values()])
    titles = [label.get_text() for label in axes.get_xticklabels()]
    assert all(f"{group['lesions']} lesion" in title for group, title in zip(groups.values(), titles, strict=True))


def test_a_size_without_lesions_is_named_none():
    model = changed(evaluation("ours", 1), lambda i, row: {"lesions_ge20ml": 0.0, "lesions_found_ge20ml": 0.0})
    figure = recall_by_size([with_statistics(model, SETTINGS)], "1")
    assert "none" in [text.get_text() for text in figure.axes[0].texts]
    assert svg(figure)


def test_lines_pair_the_cases_by_name_not_by_place(models):
    turned = Evaluation("theirs", "p", "r", {"1": "lesion"}, models[1].table[::-1])
    axes = distributions([models[0], turned], "1", ["dice"]).axes[0]
    first, second = models[0].column("dice", "1"), models[1].column("dice", "1")
    paired = np.array([line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 2][: len(first)])
    np.testing.assert_allclose(paired, np.stack([first, second], axis=1))


def test_undefined_values_are_counted_not_dropped_in_silence(models):
    axes = distributions(models, "1", ["hd95_mm"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["n = 26\n4 undefined"] * 2


def test_nothing_to_draw_is_said():
    model = evaluation("ours", 1, n=4, empty=4)
    assert "not defined" in distributions([model], "1", ["hd95_mm"]).axes[0].texts[0].get_text()
    for figure in (dice_over_volume([model], "1"), volume_agreement_plot([model], "1")):
        assert svg(figure)


def test_one_case_alone():
    model = evaluation("ours", 1, n=1, empty=0)
    for figure in (dice_over_volume([model], "1"), volume_agreement_plot([model], "1"), distributions([model], "1")):
        assert svg(figure)


def test_files_are_the_same_every_time_and_small(models):
    first, second = (svg(distributions(models, "1")) for _ in range(2))
    assert first == second
    assert len(first) < 250_000
    assert plot_png(dice_over_volume(models, "1")).startswith(b"\x89PNG")
    assert pdf(dice_over_volume(models, "1")).startswith(b"%PDF")


def test_figures_need_no_pyplot():
    """pyplot chooses a backend and keeps every figure."""
    import subprocess

    code = "import sys, nnunetv2_mscs.reporting.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
