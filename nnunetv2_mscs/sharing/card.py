"""The model card: what a shared model is, was trained on and measured at, in Markdown for people."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from nnunetv2_mscs.nnunet_files.commands import predict_commands
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json, read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import Model
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.reporting.report.content import Subject
from nnunetv2_mscs.reporting.report.model_facts import subjects_of_model
from nnunetv2_mscs.sharing.foreign_text import plain
from nnunetv2_mscs.sharing.metrics import FoldScore, MetricRow, cross_validation, fold_scores, metric_rows
from nnunetv2_mscs.sharing.selecting import Selection

CARD = "model_card.md"
TEMPLATE = "model_card.md.j2"
UNIT_OF_ADC = "10^-6 mm2/s"


@dataclass(frozen=True)
class Words:
    """What the sender adds to the card; all may be empty."""

    title: str = ""
    author: str = ""
    licence: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Channel:
    """An input channel and its unit in words."""

    index: int
    name: str
    unit: str


@dataclass(frozen=True)
class ModelPart:
    """One model folder: headings with sentences, epochs by fold in words, and nnU-Net's validation."""

    identifier: str
    subjects: tuple[tuple[str, tuple[str, ...]], ...]
    epochs: str
    scores: tuple[FoldScore, ...]


@dataclass(frozen=True)
class Card:
    """All that the template shows."""

    title: str
    author: str
    summary: str
    notes: str
    facts: tuple[tuple[str, str], ...]
    labels: str
    channels: tuple[Channel, ...]
    file_ending: str
    output: str
    data: tuple[str, ...]
    models: tuple[ModelPart, ...]
    cross_validation: FoldScore | None
    rows: tuple[MetricRow, ...]
    evaluation_of: str
    evaluation_cases: int
    postprocessing: str
    package: str
    file_name: str
    commands: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]


def model_card(
    selection: Selection,
    *,
    words: Words,
    evaluation: Mapping[str, Any],
    epochs: Mapping[str, Sequence[int | None]],
    steps: int | None,
    versions: Mapping[str, str],
    file_name: str,
) -> str:
    """The card as Markdown.

    Args:
        selection: the models and their folders.
        words: the sender's.
        evaluation: the summary of `mscs evaluate`, empty without.
        epochs: trained, of each fold in order, by the model's identifier.
        steps: how many steps of postprocessing nnU-Net found; None if it did not look for any.
        versions: by package.
        file_name: the zip's.
    """
    models = selection.models
    folder = selection.folders[models.models[0].identifier]
    dataset, plans = read_json(folder / DATASET_JSON), read_json(folder / PLANS_JSON)
    outputs = {name: value for name, value in dataset["labels"].items() if name != "ignore"}
    labels = [str(name) for name in outputs if name != "background"]
    channels = _channels(dataset)
    inputs = _listed([channel.name for channel in channels])
    licence = _one_line(words.licence) or "none stated: ask the author before you use or pass on these weights"
    card = Card(
        title=_one_line(words.title) or f"{models.dataset.split('_', 1)[1]}: {_named(models.models)}",
        author=_one_line(words.author),
        summary=f"Weights for nnU-Net v2 that segment {_listed(labels)} from {inputs}.",
        notes=words.notes.strip(),
        facts=(
            ("data set", models.dataset),
            ("model" if len(models.models) == 1 else "ensemble of", ", ".join(m.identifier for m in models.models)),
            ("folds", " ".join(models.folds)),
            ("licence", licence),
        ),
        labels=_listed(labels),
        channels=tuple(channels),
        file_ending=str(dataset.get("file_ending", "")),
        output="a mask with " + _listed([f"{_value(value)} = {name}" for name, value in outputs.items()]),
        data=tuple(_data(dataset, plans, folder)),
        models=tuple(
            _part(member, selection.folders[member.identifier], models.folds, epochs[member.identifier])
            for member in models.members
        ),
        cross_validation=cross_validation(selection.decisions),
        rows=tuple(metric_rows(dict(evaluation))),
        evaluation_of=str(evaluation.get("of", "")),
        evaluation_cases=int(evaluation.get("number_of_cases", 0)),
        postprocessing=_postprocessing(steps),
        package=f"nnunetv2-mscs=={versions['nnunetv2_mscs']}",
        file_name=shlex.quote(plain(file_name)),
        commands=tuple(predict_commands(models, postprocess=bool(steps))),
        versions=tuple(versions.items()),
    )
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    template = (resources.files("nnunetv2_mscs.results_templates") / TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(card=card).rstrip("\n") + "\n"


def _part(model: Model, folder: Path, folds: tuple[str, ...], epochs: Sequence[int | None]) -> ModelPart:
    subjects = tuple((subject.title, _sentences(subject, model, folds)) for subject in subjects_of_model(folder))
    known = [str(number) for number in epochs if number is not None]
    shown = known[0] if len(set(known)) == 1 else f"{', '.join(known)} (by fold)" if known else ""
    return ModelPart(model.identifier, subjects, shown, tuple(fold_scores(folder, folds)))


def _sentences(subject: Subject, model: Model, folds: tuple[str, ...]) -> tuple[str, ...]:
    """What the report says of a model, with the folds that go with it in place of those that are in the folder."""
    kept = [sentence for sentence in subject.sentences if not sentence.startswith("Trainer ")]
    if len(kept) == len(subject.sentences):
        return tuple(kept)
    return (f"Trainer {model.trainer}, fold{'s' * (len(folds) > 1)} {' '.join(folds)}.", *kept)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _channel_names(dataset: Mapping[str, Any]) -> dict[int, str]:
    """By their numbers, in order; old data sets have them as `modality`."""
    names = dataset.get("channel_names", dataset.get("modality", {}))
    return {int(number): str(names[number]) for number in sorted(names, key=int)}


def _channels(dataset: Mapping[str, Any]) -> list[Channel]:
    """The channels; that of the ADC is the one with a unit of its own."""
    unit = str(dataset.get("adc_unit", ""))
    found = []
    for index, name in _channel_names(dataset).items():
        if name.upper() == "ADC":
            found.append(Channel(index, name, unit or f"not recorded ({UNIT_OF_ADC} if mscs convert wrote the data)"))
        else:
            found.append(Channel(index, name, "arbitrary (signal)"))
    return found


def _data(dataset: Mapping[str, Any], plans: Mapping[str, Any], folder: Path) -> list[str]:
    fingerprint = read_json_if_there(folder / FINGERPRINT)
    cases = dataset.get("numTraining") or len(fingerprint.get("spacings") or []) or "an unknown number of"
    sentences = [f"{cases} cases of {plans.get('dataset_name') or dataset.get('name') or 'a data set without name'}."]
    backward = plans.get("transpose_backward") or [0, 1, 2]
    size, spacing = (plans.get(f"original_median_{what}_after_transp") or [] for what in ("shape", "spacing"))
    if len(size) == len(spacing) == len(backward) == 3:
        size, spacing = ([values[axis] for axis in backward] for values in (size, spacing))
        sentences.append(f"The median case has {_times(size)} voxels of {_times(spacing)} mm (x, y, z).")
    spacings = fingerprint.get("spacings") or []
    if spacings:
        low, high = ([edge(axis) for axis in zip(*spacings, strict=True)] for edge in (min, max))
        sentences.append(f"Voxels measure {_times(low)} mm to {_times(high)} mm in {len(spacings)} cases.")
    if dataset.get("licence"):
        sentences.append(f"Licence of the data: {dataset['licence']}.")
    return sentences


def _postprocessing(steps: int | None) -> str:
    if steps is None:
        return "None was looked for (`nnUNetv2_find_best_configuration` looks for one)."
    if not steps:
        return "nnU-Net looked for one and found none that helps."
    if steps == 1:
        return "nnU-Net found one step that helps; the last command below applies it."
    return f"nnU-Net found {steps} steps that help; the last command below applies them."


def _named(models: Sequence[Any]) -> str:
    return " + ".join(f"{model.trainer}, {model.configuration}" for model in models)


def _value(label: Any) -> str:
    return "+".join(map(str, label)) if isinstance(label, (list, tuple)) else str(label)


def _times(values: Sequence[float]) -> str:
    """x × y × z of what nnU-Net has as z, y, x."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{value:.4g}" for value in reversed(values))


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
