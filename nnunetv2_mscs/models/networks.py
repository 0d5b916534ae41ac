"""The networks of a model in memory: probabilities of one scan by nnU-Net's own steps, without files between them."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing
from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.batches import InBatches
from nnunetv2_mscs.models.engines import OPENVINO, TORCH, with_fewer_operations
from nnunetv2_mscs.models.source import ModelSource
from nnunetv2_mscs.network.precision import FLOAT32
from nnunetv2_mscs.nnunet_files.checkpoints import WEIGHTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import Model, fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.nnunet_shims.run import make_findable
from nnunetv2_mscs.sharing.compatibility import VERSIONS, build_network, find_trainer
from nnunetv2_mscs.sharing.plans import check_plans, quiet

Seconds = dict[str, float]


class Networks:
    """All networks that predict together: the folds of a model, the members of an ensemble, the stages of a cascade.

    Args:
        source: the model.
        device: such as "cpu" or "cuda".
        fast: the first fold of the first model alone, without mirroring.
        precision: of a CPU's network, float32 or bfloat16.
        engine: what computes them, torch or openvino.

    Raises:
        MscsError: a checkpoint cannot be read safely, or does not fit the network; or OpenVINO cannot take the network.
    """

    def __init__(
        self,
        source: ModelSource,
        device: torch.device,
        *,
        fast: bool = False,
        precision: str = FLOAT32,
        engine: str = TORCH,
    ):
        make_findable()
        models = source.selection.models
        self._models = models.models[:1] if fast else models.models
        folds = models.folds[:1] if fast else models.folds
        needed = {one.identifier: one for model in self._models for one in (model.earlier, model) if one}
        self._predictors = {
            name: _load(source, model, folds, models.checkpoint, device, mirror=not fast)
            for name, model in needed.items()
        }
        for name, predictor in self._predictors.items():
            predictor.precision = precision
            if engine == OPENVINO:
                folder = source.selection.folders[name]
                _use_openvino(predictor, [fold_folder(folder, fold) / models.checkpoint for fold in folds])
            elif device.type == "cpu":
                size = predictor.configuration_manager.patch_size
                predictor.network = with_fewer_operations(predictor.network, size)
        self.count = len(folds) * len(needed)
        file = source.postprocessing
        # Only after `read_postprocessing` has found nothing but nnU-Net's own functions in it.
        self._postprocessing = pickle.loads(file.read_bytes()) if file else ([], [])

    @property
    def labels(self) -> Any:
        """nnU-Net's label manager."""
        return self._predictors[self._models[0].identifier].label_manager

    def probabilities(self, array: np.ndarray, spacing: list[float]) -> tuple[np.ndarray, Seconds]:
        """The mean probabilities of a scan.

        Args:
            array: (C, Z, Y, X) float32 along the model's axes, channels in the model's order.
            spacing: (z, y, x) in mm.

        Returns:
            (K, Z, Y, X) float32 of nnU-Net's classes or regions; seconds by step.
        """
        seconds: Seconds = {"preprocess": 0.0, "network": 0.0, "resample": 0.0}
        total: np.ndarray | None = None
        for model in self._models:
            former = self._predict(model.earlier, array, spacing, seconds)[0] if model.earlier else None
            found = self._predict(model, array, spacing, seconds, former)[1]
            total = found if total is None else total + found
        assert total is not None
        return total / np.float32(len(self._models)), seconds

    def postprocess(self, labels: np.ndarray) -> np.ndarray:
        """The labels after the steps that nnU-Net's cross-validation found to help."""
        return np.asarray(apply_postprocessing(labels, *self._postprocessing))

    def _predict(
        self, model: Model, array: np.ndarray, spacing: list[float], seconds: Seconds, former: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and probabilities by one model; `former` are the labels of the stage before it."""
        predictor = self._predictors[model.identifier]
        plans, configuration, labels = (
            predictor.plans_manager,
            predictor.configuration_manager,
            predictor.label_manager,
        )
        properties: dict[str, Any] = {"spacing": list(spacing)}
        with quiet():
            with _timed(seconds, "preprocess"):
                preprocessor = configuration.preprocessor_class(verbose=False)
                # nnU-Net's cropping writes -1 into it
                earlier = None if former is None else former[None].astype(np.int8)
                data, seg, properties = preprocessor.run_case_npy(
                    array, earlier, properties, plans, configuration, predictor.dataset_json
                )
                if former is not None:
                    data = np.vstack((data, convert_labelmap_to_one_hot(seg[0], labels.foreground_labels, data.dtype)))
            with _timed(seconds, "network"):
                logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).cpu()
            with _timed(seconds, "resample"):
                found, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
                    logits, plans, configuration, labels, properties, return_probabilities=True
                )
        return np.asarray(found), np.asarray(probabilities, dtype=np.float32)


def _load(
    source: ModelSource, model: Model, folds: tuple[str, ...], checkpoint: str, device: torch.device, *, mirror: bool
) -> InBatches:
    """nnU-Net's predictor with the weights of some folds, read without running code from the files."""
    folder = source.selection.folders[model.identifier]
    check_plans(folder, model.configuration, trust=None)
    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    contents = [read_checkpoint(fold_folder(folder, fold) / checkpoint) for fold in folds]
    trainer = str(contents[0].get("trainer_name"))
    network = build_network(find_trainer(trainer)[0], trainer, plans, dataset, model.configuration, "cpu")
    weights = [one.get(WEIGHTS) for one in contents]
    for fold, one in zip(folds, weights, strict=True):
        try:
            network.load_state_dict(one)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise MscsError(f"{folder}, fold {fold}: the weights do not fit the network here.", VERSIONS) from error
    manager = PlansManager(plans)
    mirrored = contents[0].get("inference_allowed_mirroring_axes")
    with quiet():
        predictor = InBatches(
            use_mirroring=mirror,
            perform_everything_on_device=device.type == "cuda",
            device=device,
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            network,
            manager,
            manager.get_configuration(model.configuration),
            weights,
            dataset,
            trainer,
            tuple(mirrored) if mirrored else None,
        )
    return predictor


def _use_openvino(predictor: InBatches, checkpoints: list[Path]) -> None:
    """Let OpenVINO compute the networks of a predictor."""
    from nnunetv2_mscs.models.openvino_network import on_openvino

    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    channels = determine_num_input_channels(plans, configuration, predictor.dataset_json)
    network: Any = getattr(predictor.network, "_orig_mod", predictor.network)  # without nnU-Net's torch.compile
    predictor.network = on_openvino(
        network,
        predictor.list_of_parameters,
        checkpoints,
        (channels, *configuration.patch_size),
        predictor.precision,
    )
    predictor.list_of_parameters = list(range(len(checkpoints)))


@contextmanager
def _timed(seconds: Seconds, step: str) -> Iterator[None]:
    start = perf_counter()
    try:
        yield
    finally:
        seconds[step] += perf_counter() - start
