"""Folders of results with tiny models, and a zip of one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from tests.sharing.tiny_models import DATASET, MSCS, write_model


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder of results with two models; not to be changed."""
    results = tmp_path_factory.mktemp("trained")
    for trainer in ("nnUNetTrainer", "MSCSTrainer"):
        write_model(results, trainer)
    return results


@pytest.fixture
def results(trained, tmp_path, monkeypatch) -> Path:
    """A copy to change, which nnU-Net's variable names."""
    shutil.copytree(trained, tmp_path / "results")
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def model(results) -> Path:
    """One model folder."""
    return results / DATASET / MSCS


@pytest.fixture
def there(tmp_path) -> Path:
    """An empty folder of results."""
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.fixture
def refused(there) -> Callable[..., None]:
    """Install a file, expecting a refusal that gives a reason and a remedy and leaves nothing behind."""
    from nnunetv2_mscs.sharing.installing import install

    def refused(file: Path, match: str, **options) -> None:
        with pytest.raises(MscsError, match=match) as caught:
            install(file, results=there, **options)
        assert caught.value.remedy
        assert list(there.iterdir()) == []

    return refused


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory) -> Path:
    """The zip of one model; not to be changed."""
    from nnunetv2_mscs.sharing.exporting import ExportRequest, export

    out = tmp_path_factory.mktemp("exported") / "tiny.zip"
    export(out, ExportRequest(str(trained / DATASET / MSCS)))
    return out
