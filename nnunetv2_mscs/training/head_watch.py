"""Every head in the log, after every epoch: a head that learned nothing is seen there, long before the results."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import distributed, nn

from nnunetv2_mscs.training.heads import HeadCounts, HeadResult, head_biases
from nnunetv2_mscs.training.timely import TimelyCheckpoints

# Entry of a validation step's output: what the heads predicted in it.
HEADS = "heads"
# Deep supervision leaves the lowest head untrained: nnU-Net gives it this weight at most, relative to the first.
UNTRAINED = 1e-5


class WatchesHeads(TimelyCheckpoints):
    """A trainer of MSCS-Net that measures every trained head on nnU-Net's validation patches.

    Attributes:
        heads: of the last validation, full resolution first; empty if nothing was measured.
    """

    heads: Sequence[HeadResult] = ()

    def validation_step(self, batch: dict) -> dict:
        counts = HeadCounts()
        biases = head_biases(self._bare_network())

        def count(_network: nn.Module, _inputs: tuple, outputs: torch.Tensor | list[torch.Tensor]) -> None:
            # Here, as nnU-Net's step goes on to overwrite the ignore label in the references.
            if isinstance(outputs, torch.Tensor):
                counts.add(outputs, batch["target"], self.label_manager, biases[:1])
            else:
                trained = trained_heads(self.loss, len(outputs))
                counts.add(outputs[:trained], batch["target"][:trained], self.label_manager, biases[:trained])

        hook = self.network.register_forward_hook(count)
        try:
            output = super().validation_step(batch)
        finally:
            hook.remove()
        # In the output, which is kept in a checkpoint within the epoch.
        output[HEADS] = counts.values
        return output

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        if self.steps is not None:
            val_outputs = self.steps.validation.with_earlier(val_outputs)
        self.heads = self._all_counted(val_outputs).results()
        super().on_validation_epoch_end([_without_heads(output) for output in val_outputs])
        if self.heads:
            self._log_heads()

    def _all_counted(self, val_outputs: list[dict]) -> HeadCounts:
        """The counts of all steps and workers; steps that an older version made have none."""
        counts = HeadCounts()
        for output in val_outputs:
            if output.get(HEADS) is not None:
                counts.merge(output[HEADS])
        if not self.is_ddp:
            return counts
        workers: list[np.ndarray | None] = [None] * distributed.get_world_size()
        distributed.all_gather_object(workers, counts.values)
        together = HeadCounts()
        for values in workers:
            if values is not None:
                together.merge(values)
        return together

    def _log_heads(self) -> None:
        dices = " ".join(f"{head.dice:.2f}" for head in self.heads)
        largest = " ".join(f"{head.largest_probability:.2f}" for head in self.heads)
        self.print_to_log_file(f"Heads, full resolution first: Dice {dices}; largest foreground probability {largest}")
        for number, head in enumerate(self.heads):
            if head.is_silent:
                at_bias = " and is at its bias-only value" if head.at_bias else ""
                self.print_to_log_file(f"The {self._name_of_head(number)} predicts no foreground{at_bias}.")

    def _name_of_head(self, number: int) -> str:
        if number == 0:
            return "full-resolution head"
        return f"head at 1/{round(1 / min(self._get_deep_supervision_scales()[number]))} resolution"

    def _bare_network(self) -> nn.Module:
        """The network without the wrappers of distribution and compilation, as nnU-Net saves it."""
        network = self.network.module if self.is_ddp else self.network
        return getattr(network, "_orig_mod", network)


def trained_heads(loss: nn.Module, heads: int) -> int:
    """How many of the heads, full resolution first, the loss trains."""
    weights = getattr(loss, "weight_factors", None) or [1.0] * heads
    return sum(weight > UNTRAINED * weights[0] for weight in weights)


def _without_heads(output: dict) -> dict:
    return {key: value for key, value in output.items() if key != HEADS}
