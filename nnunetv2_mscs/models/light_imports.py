"""The packages that predict, imported without what only training, other file formats and DICOM need of them."""

from collections.abc import Mapping, Sequence
from importlib import import_module

from nnunetv2_mscs.workplace.deferred import NeededNowError, deferred

# What nnU-Net's modules import at their top and a prediction does not use, with the names that they take from it.
UNUSED_BY_NNUNET = {
    # torch.compile: a network that is not compiled is no OptimizedModule
    "torch._dynamo": ("OptimizedModule",),
    # compressed training data: blosc2
    "blosc2": (),
    "blosc2.ndarray": ("NDArray",),
    "nnunetv2.training.dataloading.nnunet_dataset": (
        *("nnUNetBaseDataset", "nnUNetDatasetBlosc2", "nnUNetDatasetNumpy"),
        *("comp_blosc2_params", "infer_dataset_class"),
    ),
    # curves of a training: seaborn and matplotlib
    "nnunetv2.training.logging.nnunet_logger": ("MetaLogger",),
    # folds: scikit-learn
    "nnunetv2.utilities.crossval_split": ("generate_crossval_split",),
    # labels of a cascade after resampling, checks of training data
    "pandas": (),
    # readers of other formats
    "skimage.io": (),
    "tifffile": (),
    # pieces of a mask, for postprocessing
    "cc3d": (),
}
# nibabel looks for pydicom, which loads its decoders, for an extension of NIfTI that hardly a file has.
UNUSED_BY_NIBABEL = {"pydicom": ("Dataset",)}
# In this order: each with what it does without.
IMPORTS: tuple[tuple[Mapping[str, Sequence[str]], tuple[str, ...]], ...] = (
    (UNUSED_BY_NIBABEL, ("nibabel",)),
    (
        UNUSED_BY_NNUNET,
        (
            "nnunetv2.inference.predict_from_raw_data",
            "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
            "nnunetv2.postprocessing.remove_connected_components",
            # which looks through nnU-Net's planning where our classes are not placed there
            "nnunetv2_mscs.nnunet_shims.run",
        ),
    ),
)


def import_for_prediction() -> None:
    """Import them; all of them work afterwards as usual, as what was left out is loaded when it is used.

    A version that uses it in another way is imported as it is, which takes longer.
    """
    for unused, modules in IMPORTS:
        try:
            with deferred(unused):
                for module in modules:
                    import_module(module)
        except (Exception, NeededNowError):
            for module in modules:
                import_module(module)
