"""How much shared memory the processes of a training need: one rule for `mscs run` and `mscs doctor`."""

# By the number of processes that hand a training its data: none, one, several.
LEAST_BYTES = (0.0, 32e6, 1e9)


def lack_of_shared_memory(size: float, workers: int) -> tuple[str, str] | None:
    """What is wrong with the shared memory for so many processes, and what to do; None if it is large enough.

    Args:
        size: of the shared memory, in bytes; infinite where there is none to look at.
        workers: processes that augment the data of one training.
    """
    if size >= LEAST_BYTES[min(max(workers, 0), 2)]:
        return None
    shown = f"{size / 1e9:.2g} GB" if size >= 5e8 else f"{size / 1e6:.2g} MB"
    return f"the shared memory has {shown}", "Give the container more: docker run --shm-size=8g."
