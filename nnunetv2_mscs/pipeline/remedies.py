"""What usually helps, by what a failed command printed."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """What went wrong, and what to do before the same `mscs run` is called again."""

    pattern: str
    finding: str
    remedy: str


CAUSES = (
    Remedy(
        r"(CUDA|MPS backend) out of memory|CUDA error: out of memory",
        "The GPU has too little memory.",
        "See with nvidia-smi whether other programs use it; else plan for less: --gpu-memory-target.",
    ),
    Remedy(
        r"unable to (?:open|write to|mmap|resize) (?:shared memory|(?:\d+ bytes from )?file </torch)|Bus error"
        r"|killed by signal 7\b",
        "The shared memory (/dev/shm) is too small.",
        "Give a container more (docker run --shm-size=8g, or --ipc=host), or use fewer processes (-np).",
    ),
    Remedy(
        r"No space left on device|Disk quota exceeded|Is the disk full|PytorchStreamWriter failed writing",
        "A disk is full, or a quota used up.",
        "Make room in nnU-Net's folders (df -h, df -i, quota); the run continues from there.",
    ),
    Remedy(
        r"Cannot allocate memory|can't allocate memory|Unable to allocate|^MemoryError|std::bad_alloc|OUT_OF_MEMORY",
        "The machine, or the job, has too little memory.",
        "Use fewer processes (-np) or fewer trainings at a time (--gpus), or give the job more memory.",
    ),
    Remedy(
        r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available"
        r"|CUDA driver (?:version is insufficient|initialization failed)|no kernel image is available",
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
        r"blosc2_schunk_open_offset|Error while getting the buffer|No such file or directory: '?\S+\.(?:b2nd|pkl)",
        "A preprocessed file is damaged or missing.",
        "Delete the file that the log names, or its whole folder in nnUNet_preprocessed; it is made again.",
    ),
    Remedy(
        r"PytorchStreamReader failed|failed finding central directory|invalid header or archive is corrupted",
        "A checkpoint is damaged.",
        "Delete the checkpoint that the log names; training continues from the one before, or from its beginning.",
    ),
    Remedy(
        r"BackendCompilerFailed|Failed to find C compiler|InductorError|torch\._inductor\.exc",
        "torch.compile failed.",
        "Install a C compiler (such as gcc), or: export nnUNet_compile=f",
    ),
)
# What many causes end in, most often the one named here.
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
        "The same mscs run continues from there; on a cluster, give its jobs more time.",
    ),
)


def remedies_for(*texts: str) -> list[Remedy]:
    """The causes whose words appear in what a command printed and in what was said of its end; else the symptoms."""
    text = "\n".join(texts)
    causes, symptoms = (
        [row for row in table if re.search(row.pattern, text, re.MULTILINE)] for table in (CAUSES, SYMPTOMS)
    )
    return causes or symptoms
