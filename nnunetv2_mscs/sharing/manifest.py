"""The manifest of a shared model: what it is, what it was made with, and a checksum of every file."""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.json_files import parse_json
from nnunetv2_mscs.nnunet_files.model_folder import FOLD_FOLDER, Model, ModelSet, model_of

MANIFEST = "mscs_manifest.json"
FORMAT = "nnunetv2-mscs shared model 1"
PACKAGES = ("nnunetv2", "torch", "numpy", "dynamic_network_architectures")
OURS = "nnunetv2_mscs"
# Packages whose versions decide whether a model can be used.
NEEDED = ("nnunetv2", OURS)
VERSION = re.compile(r"[0-9][A-Za-z0-9.+_!-]{0,60}")
SHA256 = re.compile(r"[0-9a-f]{64}")
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
        raw = parse_json(content)
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
        versions = {str(name): str(version) for name, version in raw["versions"].items()}
        if not all(VERSION.fullmatch(version) for version in versions.values()) or not versions.keys() >= set(NEEDED):
            raise ValueError(f"it does not name the versions of {' and '.join(NEEDED)}")
        return Manifest(
            models=ModelSet(raw["dataset"], models, folds),
            postprocess=bool(raw["postprocessing"]),
            versions=versions,
            files={name: _facts(one) for name, one in raw["files"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(f"{MANIFEST} cannot be read: {error}.", "Ask the sender for the file once more.") from error


def facts_of(content: bytes) -> FileFacts:
    """Size and checksum of bytes."""
    return FileFacts(len(content), hashlib.sha256(content).hexdigest())


def facts_of_stream(stream: IO[bytes], on_block: Callable[[bytes], object] = lambda _: None) -> FileFacts:
    """Size and checksum of what is left to read of a stream; `on_block` gets it, a block at a time."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(CHUNK_BYTES):
        digest.update(block)
        size += len(block)
        on_block(block)
    return FileFacts(size, digest.hexdigest())


def facts_of_file(file: Path, on_block: Callable[[bytes], object] = lambda _: None) -> FileFacts:
    """The same of a file."""
    with file.open("rb") as stream:
        return facts_of_stream(stream, on_block)


def _facts(raw: dict[str, Any]) -> FileFacts:
    if type(raw["bytes"]) is not int or not SHA256.fullmatch(raw["sha256"]):
        raise ValueError("it names a file without size or checksum")
    return FileFacts(raw["bytes"], raw["sha256"])


def _model(raw: dict[str, Any]) -> Model:
    model = model_of(raw["folder"], raw["previous_stage"])
    if model is None or (model.previous_stage and not model_of(f"a__b__{model.previous_stage}")):
        raise ValueError(f"{raw['folder']!r} is no model of nnU-Net's")
    return model
