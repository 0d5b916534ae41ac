"""What usually helps, by what a failed command printed: a table from the words of the libraries to a remedy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """What went wrong, and what to do about it.

    Args:
        pattern: of the words that tell it.
        finding: in our words.
        remedy: what to do before the same `mscs run` is called again.
    """

    pattern: str
    finding: str
    remedy: str


# What is the cause wherever it is found.
CAUSES = (
    Remedy(
        r"CUDA out of memory|CUDA error: out of memory|MPS backend out of memory",
        "The GPU has too little memory.",
        "See with nvidia-smi whether other programs use it; else plan for less: --gpu-memory-target.",
    ),
    Remedy(
        r"unable to (?:open|write to|mmap|resize) (?:shared memory|file </torch|\d+ bytes from file </torch)"
        r"|Bus error|killed by signal 7\b|insufficient shared memory",
        "The shared memory (/dev/shm) is too small.",
        "Give a container more (docker run --shm-size=8g, or --ipc=host), or use fewer processes (-np).",
    ),
    Remedy(
        r"No space left on device|Disk quota exceeded|Is the disk full|File too large"
        r"|PytorchStreamWriter failed writing|unexpected pos \d+ vs",
        "A disk is full, or a quota used up.",
        "Make room in nnU-Net's folders (df -h, df -i, quota); the run goes on from there.",
    ),
    Remedy(
        r"can't allocate memory|Cannot allocate memory|Unable to allocate|^MemoryError|std::bad_alloc"
        r"|likely killed by your OS because of insufficient|oom.kill|OUT_OF_MEMORY",
        "The machine, or the job, has too little memory.",
        "Use fewer processes (-np) or fewer trainings at a time (--gpus), or give the job more memory.",
    ),
    Remedy(
        r"Cannot have number of splits n_splits=",
        "There are too few cases to split into five folds.",
        "Give at least five labelled cases, better fifty.",
    ),
    Remedy(
        r"Torch not compiled with CUDA enabled|compiled without CUDA support|Found no NVIDIA driver"
        r"|No CUDA GPUs are available|CUDA driver version is insufficient|CUDA driver initialization failed"
        r"|no kernel image is available|invalid device ordinal|CUDA-capable device\(s\) is/are busy",
        "PyTorch cannot use the GPU that was asked for.",
        "See mscs doctor and nvidia-smi; choose --gpus among those there, or --device cpu.",
    ),
    Remedy(
        r"Loss or gradients were NaN or Inf [^;]*; training stops|holds NaN or Inf; \S+ is not written",
        "The training's loss is NaN or Inf.",
        "Look for NaN, Inf or extreme values in the scans (mscs show); the checkpoints before it are intact.",
    ),
    Remedy(
        r"starts of the training failed: in the last, the network predicted no foreground",
        "The network learned to predict no lesion at all, from other weights and with a lower rate, too.",
        "See with mscs show whether the labels lie on the lesions and the normalised images look alike. Then delete "
        "the fold's folder in nnUNet_results, and train it with a lower initial rate or --trainer nnUNetTrainer.",
    ),
    Remedy(
        r"Could not find requested nnunet trainer|nnU-Net finds no trainer",
        "nnU-Net does not know this trainer.",
        "Check its name; nnU-Net's own come in few lengths, MSCSTrainer_<N>epochs in any. See mscs doctor.",
    ),
    Remedy(
        r"blosc2_schunk_open_offset|Error while getting the buffer",
        "A preprocessed file is damaged.",
        "Delete the file that the log names, or its whole folder in nnUNet_preprocessed; it is made again.",
    ),
    Remedy(
        r"No such file or directory: '?\S+\.(?:b2nd|pkl)",
        "A case that the splits name has no preprocessed data.",
        "Did another data set have this id before? Delete its folder in nnUNet_preprocessed; it is made again.",
    ),
    Remedy(
        r"unexpected labels|Unexpected labels|Some images have errors|not all training cases have a label"
        r"|Did not find the expected number of training cases|Some expected files were missing"
        r"|Labels must be in consecutive order|Shape mismatch between|Spacing mismatch between"
        r"|Unexpected number of modalities|contain NaN pixel values|contains NaN pixel values",
        "The data set in nnUNet_raw has mistakes.",
        "The log names the files. Mend them, or let mscs convert make the data set from the scans.",
    ),
    Remedy(
        r"PytorchStreamReader failed|failed finding central directory|invalid header or archive is corrupted",
        "A checkpoint is damaged.",
        "Delete the checkpoint that the log names; training goes on from the one before, or from its beginning.",
    ),
    Remedy(
        r"More than one dataset name found for dataset id",
        "Two data sets have this id.",
        "Rename one of them in all of nnU-Net's folders, or choose another id.",
    ),
    Remedy(
        r"Cannot run DDP if the batch size is smaller",
        "The batch has fewer patches than one training has GPUs.",
        "Choose fewer --gpus-per-fold.",
    ),
    Remedy(
        r"BackendCompilerFailed|Failed to find C compiler|InductorError|torch\._inductor\.exc",
        "torch.compile failed.",
        "Install a C compiler (such as gcc), or: export nnUNet_compile=f",
    ),
    Remedy(
        r"NCCL error|ncclUnhandledCudaError|ncclSystemError",
        "The GPUs of one training cannot talk to each other.",
        "Try --gpus-per-fold 1, or: export NCCL_P2P_DISABLE=1",
    ),
)
# What follows from many causes, most often from the one named here.
SYMPTOMS = (
    Remedy(
        r"Some background worker is 6 feet under|[Bb]ackground workers are no longer alive"
        r"|worker process crashed or was killed|killed by signal 9\b|^Killed$",
        "A process was killed, most often because the memory of the machine or the job was used up.",
        "Look for an error further up in the log. Without one: fewer processes (-np), or more memory.",
    ),
    Remedy(
        r"killed by signal 15\b|CANCELLED|TIMEOUT|DUE TO TIME LIMIT",
        "It was ended from outside: by the cluster or by a person.",
        "The same mscs run goes on from there; on a cluster, give its jobs more time.",
    ),
)


def remedies_for(*texts: str) -> list[Remedy]:
    """The causes that the words tell, in the table's order; without any, the symptoms.

    Args:
        texts: what a command printed, and what was said of its end.
    """
    text = "\n".join(texts)
    return _found(CAUSES, text) or _found(SYMPTOMS, text)


def _found(table: Sequence[Remedy], text: str) -> list[Remedy]:
    return [row for row in table if re.search(row.pattern, text, re.MULTILINE)]
