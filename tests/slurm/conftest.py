"""A real Slurm for the tests of this room."""

import os
import sys

import pytest

from tests.slurm.cluster import Cluster, missing_programs


@pytest.fixture(scope="session")
def running_slurm(tmp_path_factory):
    missing = missing_programs()
    problem = f"Slurm is not installed ({', '.join(missing)} missing)" if missing else ""
    if not problem and (not sys.platform.startswith("linux") or os.geteuid() != 0):
        problem = "a Slurm for tests needs Linux, and root"
    if problem and os.environ.get("MSCS_REQUIRE_SLURM"):
        pytest.fail(f"{problem}, and MSCS_REQUIRE_SLURM forbids to go without")
    if problem:
        pytest.skip(problem)
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm(running_slurm, monkeypatch):
    """The cluster, without any job, as this process's commands and those it starts see it."""
    for name, value in running_slurm.environment.items():
        monkeypatch.setenv(name, value)
    yield running_slurm
    running_slurm.cancel_all()
