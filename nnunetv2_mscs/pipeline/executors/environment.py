"""What the commands of a run find in their environment: nnU-Net's folders, and workers for the cores there are."""

from nnunetv2_mscs.nnunet_files.environment import Folders, process_variables

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
        **process_variables(augmenting=training_workers, others=workers),
    }
