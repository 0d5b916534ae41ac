"""What the commands of a run find in their environment: nnU-Net's folders, and workers for the cores there are."""

from nnunetv2_mscs.pipeline.graph.settings import Folders

# A model's preprocessed data are its own: planning a rival, later or again, changes nothing that ours is trained on.
OWN_DATA = {"MSCS_OWN_DATA": "1"}


def environment(folders: Folders, *, training_workers: int, workers: int) -> dict[str, str]:
    """Variables for the commands of a run.

    Args:
        folders: nnU-Net's.
        training_workers: that augment the data of one training.
        workers: of everything else for which nnU-Net has no option.
    """
    return {
        **folders.environment,
        **OWN_DATA,
        "nnUNet_n_proc_DA": str(training_workers),
        "nnUNet_def_n_proc": str(workers),
    }
