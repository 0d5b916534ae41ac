from pathlib import Path

import pytest

from nnunetv2_mscs.phantom.heads import LesionMasks
from tests.phantom.heads.small_sources import write_head, write_masks


@pytest.fixture(scope="session", params=[(2.0, 2.0, 2.0), (1.5, 2.5, 3.0)], ids=["2 mm", "uneven"])
def head(request, tmp_path_factory) -> Path:
    return write_head(tmp_path_factory.mktemp("heads"), request.param)


@pytest.fixture(scope="session")
def masks(tmp_path_factory) -> LesionMasks:
    folder = tmp_path_factory.mktemp("masks")
    write_masks(folder)
    return LesionMasks.read(folder)
