"""A description of the methods to paste into a paper, from what the files of evaluations and models record."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunetv2_mscs import __version__
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.statistics import settings_of
from nnunetv2_mscs.reporting.report.citations import Cited
from nnunetv2_mscs.reporting.report.model_facts import (
    UNNAMED_DATA_SET,
    ModelRecord,
    listed,
    normalisation,
    subjects_of_data,
    times,
)

# The name of a loss in nnU-Net's record of a training, and its words; the first that is found counts.
LOSSES = {
    "WithComponents": "soft Dice and cross-entropy, and both again for every lesion by itself",
    "SoftDiceAndFocalLoss": "the sum of soft Dice and focal loss",
    "DC_and_CE_loss": "the sum of soft Dice and cross-entropy",
    "DC_and_BCE_loss": "the sum of soft Dice and binary cross-entropy",
    "DC_and_topk_loss": "the sum of soft Dice and top-k cross-entropy",
}
DEEP_SUPERVISION = "DeepSupervisionWrapper"
NUMBER = r"([0-9][0-9.e+-]*)"


def methods_of(
    evaluations: Sequence[Evaluation], folders: Sequence[Path | None], versions: Sequence[str]
) -> tuple[str, ...]:
    """Paragraphs on data, models, evaluation, statistics and software, then one per reference.

    `folders` has the model folder of each evaluation, `versions` the packages that the evaluation runs with.
    """
    cited = Cited()
    paragraphs = [_data(evaluations[0], folders[0])]
    for one, folder in zip(evaluations, folders, strict=True):
        if folder is not None:
            name = f"{one.model}: " if len(evaluations) > 1 else ""
            paragraphs.append(name + _model(one, ModelRecord.read(folder), cited))
    paragraphs += [_metrics(evaluations, cited), _statistics(evaluations, cited)]
    paragraphs.append(f"Metrics and statistics were computed by nnunetv2-mscs {__version__} ({', '.join(versions)}).")
    return (*paragraphs, *cited.as_list())


def _data(evaluation: Evaluation, folder: Path | None) -> str:
    subjects = subjects_of_data(evaluation, folder)
    sentences = [sentence for subject in subjects for sentence in subject.sentences]
    if folder is not None:
        named, *sentences = sentences
        sentences = [*([] if named.startswith(UNNAMED_DATA_SET) else [f"The data set is {named}"]), *sentences]
    return " ".join([*sentences, f"The evaluation is of {_cases(len(evaluation.cases))}."])


def _model(evaluation: Evaluation, model: ModelRecord, cited: Cited) -> str:
    sentences = [_network(model, cited), *_plan(model), *_training(model, cited)]
    if Path(evaluation.predictions) == model.folder:
        sentences.append("Each case was predicted by the fold that had not seen it in training.")
    return " ".join(sentences)


def _network(model: ModelRecord, cited: Cited) -> str:
    named = f"MSCS-Net {cited('MSCS-Net')}" if model.network == "MSCSNet" else model.network or "a network"
    size = [one for one in (model.parameters, f"{model.resolutions} resolutions" * bool(model.resolutions)) if one]
    return (
        f"Lesions were segmented by {named}{f' ({listed(size)})' if size else ''} within nnU-Net v2 {cited('nnU-Net')}."
    )


def _plan(model: ModelRecord) -> Iterator[str]:
    plans, configuration = model.plans, model.configuration
    if not configuration:
        return
    planned = [f"plans {plans['plans_name']}"] if plans.get("plans_name") else []
    planned += [f"made by {plans['experiment_planner_used']}"] if plans.get("experiment_planner_used") else []
    yield f"The configuration was {', '.join([model.configuration_name, *planned])}."
    patch, spacing, batch = (configuration.get(key) for key in ("patch_size", "spacing", "batch_size"))
    if patch and spacing:
        what = "Slices" if len(patch) == 2 else "Patches"
        together = f", in batches of {batch}" if batch else ""
        yield f"{what} of {times(patch)} voxels were seen at {times(spacing)} mm{together}."
    schemes = configuration.get("normalization_schemes", [])
    if schemes and len(schemes) == len(model.channels):
        scaled = [f"{channel} {normalisation(scheme)}" for channel, scheme in zip(model.channels, schemes, strict=True)]
        yield f"Intensities were normalised: {listed(scaled)}."


def _training(model: ModelRecord, cited: Cited) -> Iterator[str]:
    by, folds = f"{model.trainer} trained" if model.trainer else "Training was of", len(model.folds)
    length = f" for at most {model.epochs}" if model.epochs else ""
    yield f"{by} {folds} fold{'s' * (folds != 1)}{length}."
    text = str(model.training.get("loss", ""))
    classes = [one for one in re.findall(r"([A-Za-z_]\w*)\(", text) if one != DEEP_SUPERVISION]
    if classes:
        known = next((name for name in LOSSES if name in classes), None)
        words = LOSSES[known] if known else classes[0]
        words += f" {cited('CC-DiceCE')}" if known == "WithComponents" else ""
        supervised = ", with deep supervision" if DEEP_SUPERVISION in text else ""
        yield f"The loss was {words}{supervised}."
    if model.optimiser:
        yield f"The optimiser was {_optimiser(model)}."
    if model.training.get("device"):
        yield f"The device was {model.training['device']}{model.torch}."


def _optimiser(model: ModelRecord) -> str:
    """The name and the options that nnU-Net notes of it."""
    record, text = model.training, str(model.training["optimizer"])
    options = [f"initial learning rate {record['initial_lr']}"] if record.get("initial_lr") else []
    for option in ("momentum", "weight_decay"):
        if found := re.search(rf"\b{option}: {NUMBER}", text):
            options.append(f"{option.replace('_', ' ')} {found[1]}")
    nesterov = " with Nesterov momentum" if "nesterov: True" in text else ""
    return f"{model.optimiser}{nesterov}{f' ({listed(options)})' if options else ''}"


def _metrics(evaluations: Sequence[Evaluation], cited: Cited) -> str:
    labels = evaluations[0].statistics["labels"]
    what = listed([one["name"] for one in labels.values()])
    sentences = [
        f"Predicted masks ({what}) were compared with the reference by Dice, IoU, sensitivity and precision of voxels "
        f"{cited('voxels')}; by the 95th percentile of the Hausdorff distance (HD95, the larger of both directions) "
        f"and the average symmetric surface distance (ASSD) between border voxels in mm {cited('distances')}; by the "
        f"normalised surface Dice (NSD) at a tolerance of 1 mm {cited('NSD')}; and by the lesion-wise F1 over "
        f"26-connected components, by the ISLES'22 rule (a lesion is found if one of its voxels is predicted) "
        f"""{cited("ISLES'22")} and by one-to-one matching at an IoU of at least 0.20 {cited("panoptic")}.""",
        "Where both masks are empty, scores are 1 and distances 0 mm; where exactly one is empty, scores are 0 and "
        "distances are not defined and left out of their means.",
    ]
    for one in evaluations:
        for label in one.statistics["labels"].values():
            cases = label["cases"]
            of = [one.model] * (len(evaluations) > 1) + [label["name"]] * (len(labels) > 1)
            sentences.append(
                f"{f'{listed(of)}: b' if of else 'B'}oth masks were empty in {_cases(cases['both_empty'])}, only the "
                f"reference in {cases['only_reference_empty']}, only the prediction in "
                f"{cases['only_prediction_empty']}."
            )
    return " ".join(sentences)


def _statistics(evaluations: Sequence[Evaluation], cited: Cited) -> str:
    settings = settings_of(evaluations[0])
    assert settings is not None  # the page shows their statistics
    sentences = [
        f"Means are given with 95 % intervals by bias-corrected and accelerated bootstrap over cases "
        f"({settings.samples} samples, seed {settings.seed}) {cited('BCa')}.",
        f"Volumes were compared by Bland and Altman's limits of agreement {cited('Bland-Altman')} and Lin's "
        f"concordance {cited('Lin')}.",
    ]
    if len(evaluations) > 1:
        sentences.append(
            "Models were compared on the same cases by the mean paired difference with its bootstrap interval and "
            f"Wilcoxon's signed-rank test {cited('Wilcoxon')}, corrected by Holm's method {cited('Holm')}."
        )
    return " ".join(sentences)


def _cases(count: int) -> str:
    return f"{count} case{'s' * (count != 1)}"
