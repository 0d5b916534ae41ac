"""GPUs as PyTorch sees them; a stand-in for PyTorch says what a machine with GPUs would."""

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace import devices
from nnunetv2_mscs.workplace.devices import Gpu, check_device, default_device, look_for_gpus

STAND_IN = """
import warnings
from types import SimpleNamespace
__version__ = "2.9"
class cuda:
    is_available = staticmethod(lambda: ({warning!r} and warnings.warn({warning!r})) or {count} > 0)
    device_count = staticmethod(lambda: {count})
    get_device_properties = staticmethod(lambda i: SimpleNamespace(name=f"H{{i}}", total_memory=80))
"""


@pytest.fixture
def pytorch(monkeypatch, tmp_path):
    """Lets PyTorch see so many GPUs, among those that CUDA_VISIBLE_DEVICES names."""

    def see(count: int, visible: str | None = None, warning: str = "", code: str = STAND_IN) -> None:
        devices._look.cache_clear()
        (tmp_path / "torch.py").write_text(code.format(count=count, warning=warning))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    yield see
    devices._look.cache_clear()


@pytest.mark.parametrize(
    ("count", "visible", "indices"),
    [(2, None, ["0", "1"]), (2, "3, 1", ["3", "1"]), (1, "GPU-bb,-1,0", ["GPU-bb"]), (1, "MIG-1", ["MIG-1"])],
)
def test_gpus_have_the_names_by_which_they_are_made_visible(pytorch, count, visible, indices):
    pytorch(count, visible)
    gpus = look_for_gpus()
    assert [gpu.index for gpu in gpus.found] == indices
    assert gpus.found[0] == Gpu(indices[0], "H0", 80)
    assert default_device() == ("cuda", f"device cuda: {gpus.words}")
    assert f"GPU {indices[-1]} (H{count - 1})" in gpus.words


def test_without_a_gpu_the_line_says_why(pytorch):
    pytorch(0, warning="The driver is too old.")
    assert default_device() == (
        "cpu",
        "device cpu: PyTorch 2.9 sees no GPU: The driver is too old.",
    )
    pytorch(0, "-1")
    assert default_device() == ("cpu", "device cpu: PyTorch 2.9 sees no GPU with CUDA_VISIBLE_DEVICES='-1'")


def test_a_gpu_that_is_asked_for_must_be_there(pytorch):
    pytorch(0)
    with pytest.raises(MscsError, match="no GPU for the device cuda: PyTorch"):
        check_device("cuda")
    check_device("cpu")
    pytorch(1)
    check_device("cuda")


def test_a_pytorch_that_fails_or_hangs_is_no_gpu(pytorch, monkeypatch):
    pytorch(0, code="raise ImportError('libcudart.so is missing')")
    assert "libcudart.so is missing" in look_for_gpus().words
    pytorch(0, code="import time; time.sleep(60)")
    monkeypatch.setattr(devices, "SECONDS_TO_ANSWER", 0.5)
    assert look_for_gpus().words == "PyTorch did not say within 0.5 s which GPUs it sees"
