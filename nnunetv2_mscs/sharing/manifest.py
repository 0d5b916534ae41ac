"""The manifest of a shared model: what it is, the versions it was made with, and a checksum of every file."""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.json_files import parse_json
from nnunetv2_mscs.nnunet_files.model_folder import FOLD_FOLDER, Model, ModelSet, model_of
from nnunetv2_mscs.sharing.allowed_files import MANIFEST

FORMAT = "nnunetv2-mscs shared model 1"
THIS_PACKAGE = "nnunetv2_mscs"
PACKAGES = ("nnunetv2", "torch", "numpy", "dynamic_network_architectures")
# Another major version of these cannot use a model. The names on PyPI are those that pip is given.
NEEDED = {"nnunetv2": "nnunetv2", THIS_PACKAGE: "nnunetv2-mscs"}
VERSION = re.compile(r"[0-9][A-Za-z0-9.+_!-]{0,60}")
SHA256 = re.compile(r"[0-9a-f]{64}")
LARGEST_MANIFEST_BYTES = 10_000_000
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
        models: those in the zip.
        postprocess: nnU-Net found a postprocessing that helps, which is in the zip.
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
            "models": [{"folder": one.identifier, "previous_stage": one.previous_stage} for one in self.models.models],
            "folds": list(self.models.folds),
            "postprocessing": self.postprocess,
            "versions": dict(self.versions),
            "files": {name: asdict(facts) for name, facts in sorted(self.files.items())},
        }
        return json.dumps(content, indent=2) + "\n"


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest, which anybody may have written. Raises MscsError if it is of a later version, or damaged."""
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
        if not all(map(VERSION.fullmatch, versions.values())) or not versions.keys() >= NEEDED.keys():
            raise ValueError(f"it does not name the versions of {' and '.join(NEEDED)}")
        files = {name: FileFacts(one["bytes"], one["sha256"]) for name, one in raw["files"].items()}
        if not all(type(one.bytes) is int and SHA256.fullmatch(one.sha256) for one in files.values()):
            raise ValueError("it names a file without size or checksum")
        return Manifest(ModelSet(raw["dataset"], models, folds), bool(raw["postprocessing"]), versions, files)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(f"{MANIFEST} cannot be read: {error}.", "Ask the sender for the file once more.") from error


def _model(raw: dict[str, Any]) -> Model:
    model = model_of(raw["folder"], raw["previous_stage"])
    if model is None or (model.previous_stage and not model_of(f"a__b__{model.previous_stage}")):
        raise ValueError(f"{raw['folder']!r} is not a model of nnU-Net's")
    return model


def versions_here() -> dict[str, str]:
    """Versions of this package, of Python and of the packages that a model depends on."""
    found = {THIS_PACKAGE: __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def compare_versions(versions: Mapping[str, str]) -> list[str]:
    """Notices about packages that are older here than where the model was made.

    Raises:
        MscsError: nnU-Net or this package is of another major version.
    """
    here, notices = versions_here(), []
    for package in (*NEEDED, "torch"):
        made, mine = versions.get(package, ""), here.get(package, "")
        if not made or not mine:
            continue
        if package in NEEDED and _numbers(made)[:1] != _numbers(mine)[:1]:
            raise MscsError(
                f"The model was made with {package} {made}, and here is {mine}.",
                f"pip install '{NEEDED[package]}=={made}'",
            )
        if _numbers(made)[:2] > _numbers(mine)[:2]:
            notices.append(f"the model was made with {package} {made}, newer than {mine} here.")
    return notices


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]{1,9}", version.split("+")[0]))


def facts_of(stream: IO[bytes], *on_block: Callable[[bytes], object]) -> FileFacts:
    """Size and checksum of what is left to read of a stream; each of `on_block` is called with its blocks, in order."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(CHUNK_BYTES):
        digest.update(block)
        size += len(block)
        for call in on_block:
            call(block)
    return FileFacts(size, digest.hexdigest())
