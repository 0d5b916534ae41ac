"""The model card: what a shared model is, was trained on and measured at, in Markdown for people."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.nnunet_files.commands import predict_commands
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json, read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import SUMMARY, VALIDATION, Model, fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.reporting.report.model_facts import listed, subjects_of_model, times
from nnunetv2_mscs.sharing.foreign_text import plain
from nnunetv2_mscs.sharing.selecting import Selection

TEMPLATE = "model_card.md.j2"


@dataclass(frozen=True)
class Words:
    """What the sender adds to the card; all may be empty."""

    title: str = ""
    author: str = ""
    licence: str = ""
    notes: str = ""


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
    models, folders = selection.models, selection.folders
    folder = folders[models.models[0].identifier]
    dataset, plans = read_json(folder / DATASET_JSON), read_json(folder / PLANS_JSON)
    spacings = read_json_if_there(folder / FINGERPRINT).get("spacings") or []
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters.update(
        cell=lambda text: str(text).replace("|", "\\|").replace("\n", " "),
        one_line=lambda text: " ".join(text.split()),
        listed=listed,
        times=times,
    )
    template = (resources.files("nnunetv2_mscs.results_templates") / TEMPLATE).read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        words=words,
        models=models,
        dataset=dataset,
        plans=plans,
        channels={int(number): str(channels[number]) for number in sorted(channels, key=int)},
        outputs={name: value for name, value in dataset["labels"].items() if name != "ignore"},
        median=_median(plans),
        spacings=spacings,
        range_of_spacings=[[edge(axis) for axis in zip(*spacings, strict=True)] for edge in (min, max)],
        parts=[
            _part(member, folders[member.identifier], models.folds, epochs[member.identifier])
            for member in models.members
        ],
        cross_validation=read_json_if_there(selection.decisions / SUMMARY),
        evaluation=evaluation,
        metrics={column: METRICS[column] for column in MAIN_METRICS},
        steps=steps,
        versions=versions,
        file_name=shlex.quote(plain(file_name)),
        commands=predict_commands(models, postprocess=bool(steps)),
    )
    return text.rstrip("\n") + "\n"


def _part(model: Model, folder: Path, folds: Sequence[str], epochs: Sequence[int | None]) -> dict[str, Any]:
    """One model folder: the report's facts, with these folds in place of those in the folder; epochs; validations."""
    trainer = f"Trainer {model.trainer}, fold{'s' * (len(folds) > 1)} {' '.join(folds)}."
    summaries = {fold: read_json_if_there(fold_folder(folder, fold) / VALIDATION / SUMMARY) for fold in folds}
    return {
        "identifier": model.identifier,
        "subjects": {
            subject.title: [trainer if one.startswith("Trainer ") else one for one in subject.sentences]
            for subject in subjects_of_model(folder)
        },
        "epochs": [number for number in epochs if number is not None],
        "validations": {fold: summary for fold, summary in summaries.items() if summary},
    }


def _median(plans: Mapping[str, Any]) -> list[list[float]]:
    """Size in voxels and spacing in mm of the median case, z, y, x; empty if the plans do not say."""
    order = plans.get("transpose_backward") or [0, 1, 2]
    values = [plans.get(f"original_median_{what}_after_transp") or [] for what in ("shape", "spacing")]
    return [[one[axis] for axis in order] for one in values] if all(len(one) == 3 for one in (*values, order)) else []
