"""MSCS-Net as encoder and decoder over any number of stages, in the terms of nnU-Net's plans."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from nnunetv2_mscs.network.blocks import NONLINEARITIES, ConvOp, DecoderDesign, NormFactory, ShiftOnlyNorm
from nnunetv2_mscs.network.decoder import MSCSDecoder
from nnunetv2_mscs.network.encoder import MSCSEncoder
from nnunetv2_mscs.network.topology import N_AXES, Topology, features_of_stages, multi_scale_kernels, per_axis

INSTANCE_NORM: dict[ConvOp, type[nn.Module]] = {nn.Conv2d: nn.InstanceNorm2d, nn.Conv3d: nn.InstanceNorm3d}


class MSCSNet(nn.Module):
    """MSCS-Net (Zaman et al., Measurement 2025, 118925) for any topology that an nnU-Net plan can describe.

    Input (N, input_channels, *space), output logits (N, num_classes, *space); with deep supervision a list of
    len(strides) - 1 of them, highest resolution first. Stage 0 is the image itself, or with a stem a CBS of it.

    Args:
        input_channels: channels of the image.
        num_classes: classes of the output, background included.
        strides: per stage, stage 0 first (which must be 1): an int or one per axis.
        kernel_sizes: per stage, as the plan gives them (1 or 3 per axis).
        features_per_stage: width of every stage, see `features_of_stages`; the encoder has none at stage 0.
        conv_op: nn.Conv3d or nn.Conv2d; decides the number of space axes.
        dmsa_kernel_sizes: per stage the three kernels of its DMSA (stage 0's entry is not used). Default: 3, 5 and 7
            along every axis in which the stage's kernel is wider than 1.
        dmsa_width_multiple: the three convolutions of a DMSA have 1.67 times the stage's features, rounded down to a
            multiple of this. 1, the paper's: 26, 53, 106, 213. CPUs compute the widths of 8 (24, 48, 104, 208) faster.
        decoder_kernel_sizes: per stage the kernel of its decoder block; default `kernel_sizes`. They differ where a
            stage's map is so small that a kernel over it would see padding alone, and the CBS above still strides.
        decoder_features_per_stage: width of every stage's decoder block; default `features_per_stage`, as in the paper.
        norm_op: norm class; "instance" is the instance norm of `conv_op`, as nnU-Net trains with batches too small for
            BatchNorm. None leaves the norms out.
        norm_op_kwargs: its arguments, default eps 1e-5 and affine.
        shift_only_dmsa_norm: let the norms inside DMSA learn a shift and no scale, as the paper's do.
        dropout: probability inside the decoder's blocks, 0.3 in the paper.
        decoder_norm: set the norm behind every conv of the decoder's blocks; the paper has none there.
        decoder_nonlin: "relu", the paper's, or "leaky_relu". Over features that are never negative a head whose weights
            have all become negative stays at background, and ReLU passes no gradient that could lead out.
        stem_features: width of a CBS of the image, which is then stage 0's skip connection and what stage 1 sees.
            0, the paper's: no such block.
        foreground_prior: probability of every foreground class against background that the heads' biases give before
            training, for classes that exclude each other. None, the paper's: biases 0.
        deep_supervision: see above; `net.decoder.deep_supervision` can be set at any time, and off freezes the heads
            that are not in use.

    Weights start as the original's do: He uniform for CBS, DMSA and the decoder's convs, Glorot uniform for DCA, SPPF,
    the transposed convs and the heads. Biases are 0, those of the heads by `foreground_prior`.

    Raises:
        ValueError: if the arguments do not describe a network.
    """

    # On a CPU: compute in bfloat16. Weights, gradients and outputs stay float32.
    in_bfloat16 = False

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        strides: Sequence[int | Sequence[int]],
        kernel_sizes: Sequence[int | Sequence[int]],
        features_per_stage: Sequence[int],
        conv_op: ConvOp = nn.Conv3d,
        dmsa_kernel_sizes: Sequence[Sequence[int | Sequence[int]]] | None = None,
        decoder_kernel_sizes: Sequence[int | Sequence[int]] | None = None,
        decoder_features_per_stage: Sequence[int] | None = None,
        norm_op: type[nn.Module] | str | None = "instance",
        norm_op_kwargs: dict | None = None,
        shift_only_dmsa_norm: bool = False,
        dropout: float = 0.3,
        decoder_norm: bool = False,
        decoder_nonlin: str = "relu",
        stem_features: int = 0,
        dmsa_width_multiple: int = 1,
        foreground_prior: float | None = None,
        deep_supervision: bool = False,
    ):
        super().__init__()
        if conv_op not in N_AXES:
            raise ValueError(f"MSCS-Net has 2 or 3 space axes: conv_op is nn.Conv2d or nn.Conv3d, not {conv_op}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"Dropout is a probability below 1: got {dropout}.")
        if decoder_nonlin not in NONLINEARITIES:
            raise ValueError(f"decoder_nonlin is one of {', '.join(NONLINEARITIES)}: got {decoder_nonlin!r}.")
        if dmsa_width_multiple < 1:
            raise ValueError(f"The widths of DMSA are multiples of a number from 1: got {dmsa_width_multiple}.")
        if stem_features < 0:
            raise ValueError(f"A stem has a width from 1, and 0 leaves it out: got {stem_features}.")
        if foreground_prior is not None and not 0 < foreground_prior < 1:
            raise ValueError(f"The foreground's prior is a probability between 0 and 1: got {foreground_prior}.")
        n_axes = N_AXES[conv_op]
        kernels = [per_axis(kernel, n_axes) for kernel in kernel_sizes]
        topology = Topology(
            conv_op,
            strides=[per_axis(stride, n_axes) for stride in strides],
            kernel_sizes=kernels,
            dmsa_kernel_sizes=[multi_scale_kernels(kernel) for kernel in kernels]
            if dmsa_kernel_sizes is None
            else [[per_axis(kernel, n_axes) for kernel in stage] for stage in dmsa_kernel_sizes],
            decoder_kernel_sizes=kernels
            if decoder_kernel_sizes is None
            else [per_axis(kernel, n_axes) for kernel in decoder_kernel_sizes],
            features=list(features_per_stage),
            decoder_features=list(decoder_features_per_stage or features_per_stage),
        )
        norm = _norm_factory(norm_op, norm_op_kwargs, conv_op)
        inner_norm = _shift_only(norm_op, norm_op_kwargs, conv_op) if shift_only_dmsa_norm else norm
        self.input_channels = input_channels
        self.divisors = topology.divisors
        design = DecoderDesign(norm if decoder_norm else None, decoder_nonlin, dropout)
        self.encoder = MSCSEncoder(input_channels, topology, norm, inner_norm, stem_features, dmsa_width_multiple)
        self.decoder = MSCSDecoder(self.encoder, num_classes, topology, design, deep_supervision)
        if foreground_prior is not None:
            self.decoder.start_at(foreground_prior)

    @classmethod
    def original(
        cls, input_channels: int = 2, num_classes: int = 2, base_features: int = 16, deep_supervision: bool = False
    ) -> "MSCSNet":
        """The network of the paper: four levels, every axis halved at each, BatchNorm as Keras computes it."""
        return cls(
            input_channels,
            num_classes,
            **cls.original_arguments(base_features),
            deep_supervision=deep_supervision,
        )

    @staticmethod
    def original_arguments(base_features: int = 16) -> dict[str, Any]:
        """What makes an `MSCSNet` the paper's, apart from channels and classes."""
        return {
            "strides": [[1, 1, 1], *([2, 2, 2] for _ in range(4))],
            "kernel_sizes": [[3, 3, 3] for _ in range(5)],
            "features_per_stage": features_of_stages(5, base_features),
            "conv_op": nn.Conv3d,
            "norm_op": nn.BatchNorm3d,
            "norm_op_kwargs": {"eps": 1e-3, "momentum": 0.01},
            "shift_only_dmsa_norm": True,
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        if not torch.jit.is_tracing():
            self._check_input(x)
        if not self.in_bfloat16:
            return self._forward(x)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self._forward(x)
        return outputs.float() if isinstance(outputs, torch.Tensor) else [output.float() for output in outputs]

    def _forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        skips, bottleneck = self.encoder(x)
        return self.decoder(skips, bottleneck)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Number of values that all convolutions together put out for one image of `input_size` voxels.

        nnU-Net's planner compares networks by this number. It is counted in a pass without data or arithmetic.
        """
        counts: list[int] = []
        convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        hooks = [
            module.register_forward_hook(lambda _module, _args, output: counts.append(output.numel()))
            for module in self.modules()
            if isinstance(module, convolutions)
        ]
        try:
            self.forward_without_data((1, self.input_channels, *input_size))
        finally:
            for hook in hooks:
                hook.remove()
        return sum(counts)

    @torch.no_grad()
    def forward_without_data(self, shape: Sequence[int]) -> torch.Tensor | list[torch.Tensor]:
        """A forward pass of shapes alone (PyTorch's meta device) for an input of `shape` (N, C, *space)."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
        return torch.func.functional_call(self, shapes, (torch.empty(tuple(shape), device="meta"),))

    def _check_input(self, x: torch.Tensor) -> None:
        expected = ", ".join(["N", str(self.input_channels), *(f"{divisor} * n" for divisor in self.divisors)])
        if x.ndim != 2 + len(self.divisors) or x.shape[1] != self.input_channels:
            raise ValueError(f"MSCS-Net got an input of shape {tuple(x.shape)}; this one takes ({expected}).")
        if any(size == 0 or size % divisor for size, divisor in zip(x.shape[2:], self.divisors, strict=True)):
            raise ValueError(
                f"MSCS-Net got an input of shape {tuple(x.shape)}, whose space axes must be divisible by "
                f"{tuple(self.divisors)}: ({expected})."
            )


def _norm_factory(norm_op: type[nn.Module] | str | None, kwargs: dict | None, conv_op: ConvOp) -> NormFactory:
    if norm_op is None:
        return lambda channels: nn.Identity()
    if isinstance(norm_op, str) and norm_op != "instance":
        raise ValueError(f'norm_op is a class, "instance" or None: got {norm_op!r}.')
    norm_class = INSTANCE_NORM[conv_op] if isinstance(norm_op, str) else norm_op
    if norm_class.__name__[-2:] in ("1d", "2d", "3d") and norm_class.__name__[-2:] != f"{N_AXES[conv_op]}d":
        raise ValueError(f"norm_op {norm_class.__name__} is not for the {N_AXES[conv_op]} space axes of conv_op.")
    return partial(norm_class, **({"eps": 1e-5, "affine": True} if kwargs is None else kwargs))


def _shift_only(norm_op: type[nn.Module] | str | None, kwargs: dict | None, conv_op: ConvOp) -> NormFactory:
    norm = _norm_factory(norm_op, {**(kwargs or {}), "affine": False}, conv_op)
    return lambda channels: ShiftOnlyNorm(norm(channels), channels, N_AXES[conv_op])
