"""The manifest of a shared model: what it is, what it was made with, and a checksum of every file."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.models import DATASET_NAME, FOLD_FOLDER, Model, ModelSet, model_of

MANIFEST = "mscs_manifest.json"
FORMAT = "nnunetv2-mscs shared model 1"
PACKAGES = ("nnunetv2", "torch", "numpy", "dynamic_network_architectures")
OURS = "nnunetv2_mscs"
LARGEST_BYTES = 10_000_000
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileFacts:
    """Size in bytes and SHA-256 (hexadecimal) of a file in the zip."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a zip says about itself.

    Args:
        models: those it holds.
        postprocess: nnU-Net's postprocessing for them is in it, and does something.
        versions: of the packages it was made with.
        files: by their names in the zip; all but the manifest itself.
    """

    models: ModelSet
    postprocess: bool
    versions: Mapping[str, str]
    files: Mapping[str, FileFacts] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its own name in the zip."""
        return f"{self.models.dataset}/{self.models.home}/{MANIFEST}"

    def as_json(self) -> str:
        content = {
            "format": FORMAT,
            "dataset": self.models.dataset,
            "models": [
                {"folder": model.identifier, "previous_stage": model.previous_stage} for model in self.models.models
            ],
            "folds": list(self.models.folds),
            "postprocessing": self.postprocess,
            "versions": dict(self.versions),
            "files": {name: {"bytes": one.bytes, "sha256": one.sha256} for name, one in sorted(self.files.items())},
        }
        return json.dumps(content, indent=2) + "\n"


def versions_here() -> dict[str, str]:
    """Of this package, Python and those that a model's weights depend on."""
    found = {OURS: __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest, which may be anybody's.

    Raises:
        MscsError: it is of a later version, or damaged.
    """
    try:
        raw = json.loads(content)
        if raw["format"] != FORMAT:
            raise MscsError(
                f"The file is a {str(raw['format'])[:60]!r}, and this version reads {FORMAT!r}.",
                "Install a newer version of nnunetv2-mscs, or ask for a file of this format.",
            )
        models = tuple(_model(one) for one in raw["models"])
        folds = tuple(str(fold) for fold in raw["folds"])
        if not models or not folds or not all(FOLD_FOLDER.fullmatch(f"fold_{fold}") for fold in folds):
            raise ValueError("it names no models or no folds")
        if not DATASET_NAME.fullmatch(raw["dataset"]):
            raise ValueError("it names no data set")
        return Manifest(
            models=ModelSet(raw["dataset"], models, folds),
            postprocess=bool(raw["postprocessing"]),
            versions={str(name): str(version) for name, version in raw["versions"].items()},
            files={str(name): FileFacts(int(one["bytes"]), str(one["sha256"])) for name, one in raw["files"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(f"{MANIFEST} cannot be read: {error}.", "Ask the sender for the file once more.") from error


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _model(raw: dict[str, Any]) -> Model:
    model = model_of(raw["folder"], raw["previous_stage"])
    if model is None or (model.previous_stage and not model_of(f"a__b__{model.previous_stage}")):
        raise ValueError(f"{raw['folder']!r} is no model of nnU-Net's")
    return model
