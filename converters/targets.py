"""The closed table of torch operations a converted model may consist of.

Rules name an operation by its key; `converters.live.operations` looks up what to construct, `converters.emit` how it is
written. Whatever a .pth asks for must be in this table, with these arguments. No torch in here: paths are resolved
when a module is built.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.agent_targets import AGENT_FUNCTIONS, AGENT_MODULES
from converters.torch_functions import (
    COMPAT_FUNCTIONS,
    INFIX,
    LINEAR_ALGEBRA,
    TORCH_FUNCTIONS,
)

COMPAT = "torch_impl.keras_compat"
STOCK_MODULES = ("torch", "torch.nn", "torch.nn.functional", "torch.linalg", "operator")


@dataclass(frozen=True, slots=True)
class Target:
    """One torch operation.

    Attributes:
        path: "package.module:name".
        kwargs: the arguments that may be given.
        module: True for an nn.Module, False for a function of tensors.
        listed: the function takes its tensors as one list.
        functions: arguments that name an operation of this table: "torch.tanh", ("F.elu", ("alpha", 0.5)).
        layers: those of them that name a module instead: ("nn.Linear", ("in_features", 4), ("out_features", 3)).
        infix: how the function is written between its operands, if it is an operator.
        unnamed: arguments of the constructor that everyone writes first and without their names.
    """

    path: str
    kwargs: tuple[str, ...] = ()
    module: bool = False
    listed: bool = False
    infix: str | None = None
    functions: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()

    @property
    def is_piece(self) -> bool:
        """True for classes and functions of ours or of a user's rules, whose source is emitted along."""
        return self.path.partition(":")[0] not in STOCK_MODULES


def _module(
    path: str, *kwargs: str, unnamed: tuple[str, ...] = (), functions: tuple[str, ...] = ()
) -> Target:
    return Target(path, (*unnamed, *kwargs), module=True, functions=functions, unnamed=unnamed)


CONSTANTS = ("left", "right")
"""Arguments of an operator: a number that stands before or behind the tensors."""
_LOCAL = (
    *("sizes", "out_sizes", "channels", "kernel_size", "stride", "before"),
    *("bias", "channels_last"),
)
_CHANNELS = ("in_channels", "out_channels")
_CONVOLUTION = ("kernel_size", "stride", "padding", "dilation", "groups", "bias")
_TRANSPOSED = (*_CONVOLUTION, "output_padding")
_POOLING = ("kernel_size", "stride", "padding", "ceil_mode")

_RECURRENT = (
    "use_bias",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "dropout",
    "recurrent_dropout",
)


def _recurrent(name: str, functions: tuple[str, ...], *kwargs: str) -> Target:
    sizes = ("input_size", "units")
    path = f"{COMPAT}.recurrent:{name}"
    known = (*sizes, *functions, *kwargs, *_RECURRENT)
    return Target(path, known, module=True, functions=functions, unnamed=sizes)


_PROJECTIONS = ("query", "key", "value", "output", "gate")
_HEADS = (
    *("sizes", "heads", "key_size", "value_size", "output_shape", "key_heads"),
    *("bias", "dropout", "causal", "gated"),
)
_SCORES = ("score", "scale", "dropout", "causal")
_BATCH_NORM = (
    *("eps", "momentum", "axis", "scale", "center"),
    *("variance", "debiased_updates", "frozen", "moves"),
)
_GATED = ("activation", "recurrent_activation")

_KINDS_OF_HEADS = ("", "Masked", "Scored", "MaskedScored", "Lowered", "LoweredScored")


def _heads(kind: str) -> Target:
    path = f"{COMPAT}.attention:{kind}MultiHeadAttention"
    return Target(
        path, (*_HEADS, *_PROJECTIONS), module=True, functions=_PROJECTIONS, layers=_PROJECTIONS
    )


TARGETS: dict[str, Target] = {
    "nn.Linear": _module("torch.nn:Linear", "bias", unnamed=("in_features", "out_features")),
    "nn.Conv1d": _module("torch.nn:Conv1d", *_CONVOLUTION, unnamed=_CHANNELS),
    "nn.Conv2d": _module("torch.nn:Conv2d", *_CONVOLUTION, unnamed=_CHANNELS),
    "nn.Conv3d": _module("torch.nn:Conv3d", *_CONVOLUTION, unnamed=_CHANNELS),
    "nn.ConvTranspose1d": _module("torch.nn:ConvTranspose1d", *_TRANSPOSED, unnamed=_CHANNELS),
    "nn.ConvTranspose2d": _module("torch.nn:ConvTranspose2d", *_TRANSPOSED, unnamed=_CHANNELS),
    "nn.ConvTranspose3d": _module("torch.nn:ConvTranspose3d", *_TRANSPOSED, unnamed=_CHANNELS),
    "nn.MaxPool1d": _module("torch.nn:MaxPool1d", *_POOLING),
    "nn.MaxPool2d": _module("torch.nn:MaxPool2d", *_POOLING),
    "nn.MaxPool3d": _module("torch.nn:MaxPool3d", *_POOLING),
    "nn.AvgPool1d": _module("torch.nn:AvgPool1d", *_POOLING, "count_include_pad"),
    "nn.AvgPool2d": _module("torch.nn:AvgPool2d", *_POOLING, "count_include_pad"),
    "nn.AvgPool3d": _module("torch.nn:AvgPool3d", *_POOLING, "count_include_pad"),
    **{
        f"nn.Adaptive{kind}Pool{rank}d": _module(
            f"torch.nn:Adaptive{kind}Pool{rank}d", unnamed=("output_size",)
        )
        for kind in ("Avg", "Max")
        for rank in (1, 2, 3)
    },
    "nn.Dropout": _module("torch.nn:Dropout", unnamed=("p",)),
    "nn.LayerNorm": _module(
        "torch.nn:LayerNorm", "eps", "elementwise_affine", "bias", unnamed=("normalized_shape",)
    ),
    "nn.PReLU": _module("torch.nn:PReLU", unnamed=("num_parameters",)),
    **{
        f"compat.{name}": _module(
            f"{COMPAT}.normalization:{name}", *_BATCH_NORM, unnamed=("num_features",)
        )
        for name in ("BatchNorm", "MaskedBatchNorm", "SteppedBatchNorm")
    },
    "compat.BatchStatisticsNorm": _module(
        f"{COMPAT}.keras1:BatchStatisticsNorm", "num_features", "eps", "axis"
    ),
    "compat.SampleNorm": _module(f"{COMPAT}.keras1:SampleNorm", "num_features", "eps"),
    "compat.MaxoutDense": _module(
        f"{COMPAT}.keras1:MaxoutDense", "pieces", "bias", unnamed=("in_features", "out_features")
    ),
    "compat.carry": Target(f"{COMPAT}.keras1:carry"),
    "compat.cosine_merge": Target(f"{COMPAT}.keras1:cosine_merge"),
    "compat.SReLU": _module(f"{COMPAT}.keras1:SReLU", "shape", "is_clipped"),
    "compat.ParametricSoftplus": _module(f"{COMPAT}.keras1:ParametricSoftplus", "shape"),
    "compat.LocallyConnected": _module(
        f"{COMPAT}.local:LocallyConnected",
        *("kernel_size", "stride", "sizes", "bias_shape", "channels_last"),
        unnamed=_CHANNELS,
    ),
    "compat.LocallyConnectedMatrix": _module(f"{COMPAT}.local:LocallyConnectedMatrix", *_LOCAL),
    "compat.LocallyConnectedSparse": _module(
        f"{COMPAT}.local:LocallyConnectedSparse", *_LOCAL, "count"
    ),
    "compat.LSTM": _recurrent("LSTM", _GATED),
    "compat.GRU": _recurrent("GRU", _GATED, "reset_after"),
    "compat.SimpleRNN": _recurrent("SimpleRNN", ("activation",)),
    "compat.MaskedLSTM": _recurrent("MaskedLSTM", _GATED),
    "compat.MaskedGRU": _recurrent("MaskedGRU", _GATED, "reset_after"),
    "compat.MaskedSimpleRNN": _recurrent("MaskedSimpleRNN", ("activation",)),
    **{
        f"compat.{name}": _module(
            f"{COMPAT}.conv_recurrent:{name}",
            *("stride", "dilation", "pad", *_GATED, *_RECURRENT),
            unnamed=("in_channels", "filters", "kernel_size"),
            functions=_GATED,
        )
        for name in ("ConvLSTM", "MaskedConvLSTM")
    },
    "compat.SpectralNorm": Target(
        f"{COMPAT}.spectral:SpectralNorm",
        ("layer", "axis", "groups", "power_iterations", "eps"),
        module=True,
        functions=("layer",),
        layers=("layer",),
        unnamed=("layer",),
    ),
    "compat.cast_as": Target(f"{COMPAT}.spectral:cast_as"),
    "compat.BatchRenorm": _module(
        f"{COMPAT}.batch_renorm:BatchRenorm",
        *("num_features", "eps", "momentum", "renorm_momentum", "rmin", "rmax", "dmax"),
        *("axis", "scale", "center", "frozen"),
    ),
    "compat.linear_activation": Target(f"{COMPAT}.recurrent:linear_activation"),
    "compat.split_time": Target(f"{COMPAT}.recurrent:split_time"),
    "compat.PReLU": _module(f"{COMPAT}.activations:PReLU", "shape"),
    "nn.AlphaDropout": _module("torch.nn:AlphaDropout", unnamed=("p",)),
    "nn.Embedding": _module("torch.nn:Embedding", unnamed=("num_embeddings", "embedding_dim")),
    "nn.GroupNorm": _module(
        "torch.nn:GroupNorm", "eps", "affine", unnamed=("num_groups", "num_channels")
    ),
    "nn.RMSNorm": _module("torch.nn:RMSNorm", "eps", unnamed=("normalized_shape",)),
    "compat.GaussianNoise": _module(f"{COMPAT}.noise:GaussianNoise", "stddev"),
    "compat.GaussianDropout": _module(f"{COMPAT}.noise:GaussianDropout", "p"),
    "compat.SharedDropout": _module(f"{COMPAT}.noise:SharedDropout", "p", "axes"),
    "compat.SharedAlphaDropout": _module(f"{COMPAT}.noise:SharedAlphaDropout", "p", "axes"),
    "compat.ChannelScale": _module(f"{COMPAT}.scaling:ChannelScale", unnamed=("channels",)),
    "compat.Variable": _module(f"{COMPAT}.variables:Variable", "shape", "constant", "dtype"),
    "compat.Normalization": _module(
        f"{COMPAT}.preprocessing:Normalization", "shape", "axes", "invert"
    ),
    "compat.LayerNorm": _module(
        f"{COMPAT}.normalization:LayerNorm",
        *("shape", "axes", "eps", "scale", "center", "keep_mean"),
    ),
    "compat.RMSNorm": _module(f"{COMPAT}.normalization:RMSNorm", "shape", "axes", "eps"),
    "compat.GroupNorm": _module(
        f"{COMPAT}.normalization:GroupNorm",
        *("groups", "channels", "axis", "eps", "scale", "center"),
    ),
    "compat.stretch_contrast": Target(
        f"{COMPAT}.image_contrast:stretch_contrast", ("value_range",)
    ),
    "compat.equalize_tiles": Target(
        f"{COMPAT}.image_contrast:equalize_tiles", ("value_range", "clip_limit", "grid")
    ),
    "compat.hash_number": Target(f"{COMPAT}.hashing:hash_number", ("bins", "masked", "salt")),
    "compat.hash_text": Target(f"{COMPAT}.hashing:hash_text", ("bins", "masked", "salt")),
    "compat.cross_hashed": Target(f"{COMPAT}.hashing:cross_hashed", ("bins", "text")),
    "compat.standardize_text": Target(f"{COMPAT}.texts:standardize_text", ("lower", "strip")),
    "compat.split_text": Target(f"{COMPAT}.texts:split_text", ("characters",)),
    "compat.join_ngrams": Target(f"{COMPAT}.texts:join_ngrams", ("widths", "dense")),
    "compat.find_words": Target(
        f"{COMPAT}.texts:find_words", ("vocabulary", "start", "unknown", "masked")
    ),
    "compat.read_words": Target(f"{COMPAT}.texts:read_words"),
    "compat.fit_length": Target(f"{COMPAT}.texts:fit_length", ("length",)),
    "compat.TermWeights": _module(f"{COMPAT}.lookups:TermWeights", unnamed=("size",)),
    "compat.lookup_index": Target(
        f"{COMPAT}.lookups:lookup_index",
        (*("vocabulary", "start", "unknown_start", "buckets", "masked", "masked_index"),),
    ),
    "compat.lookup_text": Target(
        f"{COMPAT}.lookups:lookup_text",
        ("vocabulary", "start", "unknown", "masked", "masked_index"),
    ),
    "compat.lookup_number": Target(
        f"{COMPAT}.lookups:lookup_number", ("vocabulary", "start", "unknown", "masked")
    ),
    "compat.STFTSpectrogram": _module(
        f"{COMPAT}.spectrograms:STFTSpectrogram",
        *("mode", "channels_last", "separate", "same_padding"),
        unnamed=("frame_length", "frame_step", "bins"),
    ),
    "compat.mel_spectrogram": Target(
        f"{COMPAT}.spectrograms:mel_spectrogram",
        (
            *("fft_length", "step", "window_length", "window", "rate", "mel_bins", "lowest"),
            *("highest", "decibels", "range_db", "exponent", "least_power", "reference"),
        ),
    ),
    "compat.QuantizedLinear": _module(
        f"{COMPAT}.quantized:QuantizedLinear",
        *("bits", "groups", "rounds_input", "bias", "rank", "factor"),
        unnamed=("in_features", "out_features"),
    ),
    "compat.QuantizedEinsumDense": _module(
        f"{COMPAT}.quantized:QuantizedEinsumDense",
        *("kernel_shape", "scale_shape", "bits", "bias_shape", "summed_axes", "groups"),
        *("rank", "factor"),
        unnamed=("equation",),
    ),
    "compat.Float8EinsumDense": _module(
        f"{COMPAT}.float8:Float8EinsumDense",
        *("kernel_shape", "bias_shape", "history"),
        unnamed=("equation",),
    ),
    "compat.CalibratedEinsumDense": _module(
        f"{COMPAT}.calibrated:CalibratedEinsumDense",
        *("kernel_shape", "columns", "groups", "packed", "scales_rows", "bias_shape"),
        unnamed=("equation",),
    ),
    "compat.QuantizedEmbedding": _module(
        f"{COMPAT}.quantized:QuantizedEmbedding",
        *("bits", "groups", "rounds_input", "soft_cap", "tied", "rank", "factor"),
        unnamed=("num_embeddings", "embedding_dim"),
    ),
    "compat.ReversibleEmbedding": _module(
        f"{COMPAT}.quantized:ReversibleEmbedding",
        *("tied", "soft_cap", "reverse_dtype"),
        unnamed=("num_embeddings", "embedding_dim"),
    ),
    "compat.EinsumDense": _module(
        f"{COMPAT}.dense:EinsumDense", "equation", "kernel_shape", "bias_shape"
    ),
    **{f"compat.{name}MultiHeadAttention": _heads(name) for name in _KINDS_OF_HEADS},
    "compat.MaskedScoredAttention": _module(f"{COMPAT}.attention:MaskedScoredAttention", *_SCORES),
    "compat.ScoredAttention": _module(f"{COMPAT}.attention:ScoredAttention", *_SCORES),
    "compat.attention_window": Target(f"{COMPAT}.attention:attention_window", ("window",)),
    "compat.attend": Target(f"{COMPAT}.attention:attend", ("scale", "biased", "masked", "causal")),
    "compat.Attention": _module(f"{COMPAT}.attention:Attention", *_SCORES),
    "compat.MaskedAttention": _module(f"{COMPAT}.attention:MaskedAttention", *_SCORES),
    "compat.as_indices": Target(f"{COMPAT}.preprocessing:as_indices"),
    "compat.normalize": Target(
        f"{COMPAT}.preprocessing:normalize", ("mean", "deviation", "invert")
    ),
    "compat.bucketize": Target(f"{COMPAT}.preprocessing:bucketize", ("boundaries",)),
    "compat.one_hot": Target(f"{COMPAT}.preprocessing:one_hot", ("size", "dtype")),
    "compat.count_indices": Target(
        f"{COMPAT}.preprocessing:count_indices", ("size", "dtype", "once")
    ),
    "compat.unit_length": Target(f"{COMPAT}.normalization:unit_length", ("dim",)),
    "compat.cosine": Target(f"{COMPAT}.merging:cosine", ("equation", "axes")),
    "F.pad": Target("torch.nn.functional:pad", ("pad", "value")),
    "F.interpolate": Target(
        "torch.nn.functional:interpolate", ("size", "scale_factor", "mode", "align_corners")
    ),
    "F.unfold": Target(
        "torch.nn.functional:unfold", ("kernel_size", "dilation", "padding", "stride")
    ),
    "F.fold": Target(
        "torch.nn.functional:fold",
        ("output_size", "kernel_size", "dilation", "padding", "stride"),
    ),
    "F.relu": Target("torch.nn.functional:relu"),
    "F.relu6": Target("torch.nn.functional:relu6"),
    "F.leaky_relu": Target("torch.nn.functional:leaky_relu", ("negative_slope",)),
    "F.elu": Target("torch.nn.functional:elu", ("alpha",)),
    "F.celu": Target("torch.nn.functional:celu"),
    "F.selu": Target("torch.nn.functional:selu"),
    "F.gelu": Target("torch.nn.functional:gelu", ("approximate",)),
    "F.silu": Target("torch.nn.functional:silu"),
    "F.mish": Target("torch.nn.functional:mish"),
    "F.glu": Target("torch.nn.functional:glu", ("dim",)),
    "F.softmax": Target("torch.nn.functional:softmax", ("dim",)),
    "F.log_softmax": Target("torch.nn.functional:log_softmax", ("dim",)),
    "F.normalize": Target("torch.nn.functional:normalize", ("p", "dim", "eps")),
    "F.softplus": Target("torch.nn.functional:softplus", ("threshold",)),
    "F.softsign": Target("torch.nn.functional:softsign"),
    "F.hardsigmoid": Target("torch.nn.functional:hardsigmoid"),
    "F.hardswish": Target("torch.nn.functional:hardswish"),
    "F.hardtanh": Target("torch.nn.functional:hardtanh"),
    "F.hardshrink": Target("torch.nn.functional:hardshrink"),
    "F.softshrink": Target("torch.nn.functional:softshrink"),
    "F.tanhshrink": Target("torch.nn.functional:tanhshrink"),
    "F.logsigmoid": Target("torch.nn.functional:logsigmoid"),
    "torch.tanh": Target("torch:tanh"),
    "torch.sigmoid": Target("torch:sigmoid"),
    "torch.exp": Target("torch:exp"),
    "torch.flatten": Target("torch:flatten", ("start_dim", "end_dim")),
    "torch.unflatten": Target("torch:unflatten", ("dim", "sizes")),
    "torch.permute": Target("torch:permute", ("dims",)),
    "torch.mean": Target("torch:mean", ("dim", "keepdim")),
    "torch.amax": Target("torch:amax", ("dim", "keepdim")),
    "torch.tile": Target("torch:tile", ("dims",)),
    "torch.squeeze": Target("torch:squeeze", ("dim",)),
    "torch.sum": Target("torch:sum", ("dim", "keepdim")),
    "torch.amin": Target("torch:amin", ("dim", "keepdim")),
    "torch.clamp": Target("torch:clamp", ("min", "max")),
    "torch.log": Target("torch:log"),
    "torch.sqrt": Target("torch:sqrt"),
    "torch.square": Target("torch:square"),
    "torch.abs": Target("torch:abs"),
    "torch.neg": Target("torch:neg"),
    "torch.detach": Target("torch:detach"),
    "torch.matmul": Target("torch:matmul"),
    "torch.reshape": Target("torch:reshape", ("shape",)),
    "torch.stack": Target("torch:stack", ("dim",), listed=True),
    "torch.einsum": Target("torch:einsum", ("equation",), unnamed=("equation",)),
    "torch.unsqueeze": Target("torch:unsqueeze", ("dim",)),
    "torch.flip": Target("torch:flip", ("dims",)),
    "torch.cat": Target("torch:cat", ("dim",), listed=True),
    "operator.add": Target("operator:add", CONSTANTS, infix="+"),
    "operator.sub": Target("operator:sub", CONSTANTS, infix="-"),
    "operator.mul": Target("operator:mul", CONSTANTS, infix="*"),
    "operator.truediv": Target("operator:truediv", CONSTANTS, infix="/"),
    "operator.getitem": Target("operator:getitem", ("index",)),
    "operator.pow": Target("operator:pow", CONSTANTS, infix="**"),
    "compat.pad_same": Target(f"{COMPAT}.padding:pad_same", ("window", "stride")),
    "compat.pad_with_own": Target(f"{COMPAT}.padding:pad_with_own", ("pad", "mode")),
    "compat.max_pool_same": Target(f"{COMPAT}.pooling:max_pool_same", ("kernel_size", "stride")),
    "compat.average_pool_same": Target(
        f"{COMPAT}.pooling:average_pool_same", ("kernel_size", "stride")
    ),
    "compat.resample": Target(
        f"{COMPAT}.resampling:resample", ("size", "scale", "kernel", "antialias")
    ),
    "compat.crop_middle": Target(f"{COMPAT}.resampling:crop_middle", ("size",)),
    "compat.crop_to_ratio": Target(f"{COMPAT}.resampling:crop_to_ratio", ("size",)),
    "compat.pad_to_ratio": Target(f"{COMPAT}.resampling:pad_to_ratio", ("size", "value")),
    "compat.mask_steps": Target(f"{COMPAT}.masks:mask_steps", ("value",)),
    "compat.keep_all": Target(f"{COMPAT}.masks:keep_all"),
    "compat.zero_masked": Target(f"{COMPAT}.masks:zero_masked"),
    "compat.masked_mean": Target(f"{COMPAT}.masks:masked_mean", ("dim", "keepdim")),
    "compat.joint_softmax": Target(f"{COMPAT}.masks:joint_softmax", ("dim",)),
    "compat.masked_softmax": Target(f"{COMPAT}.masks:masked_softmax", ("dim",)),
    "compat.lowered_softmax": Target(f"{COMPAT}.masks:lowered_softmax", ("dim",)),
    "compat.average": Target(f"{COMPAT}.merging:average"),
    "compat.masked_merge": Target(f"{COMPAT}.merging:masked_merge", ("kind", "masked")),
    "compat.maximum": Target(f"{COMPAT}.merging:maximum"),
    "compat.minimum": Target(f"{COMPAT}.merging:minimum"),
    "compat.relu": Target(
        f"{COMPAT}.activations:relu", ("max_value", "negative_slope", "threshold")
    ),
    "compat.thresholded_relu": Target(f"{COMPAT}.activations:thresholded_relu", ("theta",)),
    "compat.hard_sigmoid_keras2": Target(f"{COMPAT}.activations:hard_sigmoid_keras2"),
    "compat.squareplus": Target(f"{COMPAT}.activations:squareplus"),
    "compat.sparse_plus": Target(f"{COMPAT}.activations:sparse_plus"),
    "compat.sparse_sigmoid": Target(f"{COMPAT}.activations:sparse_sigmoid"),
    "compat.sparsemax": Target(f"{COMPAT}.activations:sparsemax"),
    **{
        key: _module(path, *named, unnamed=unnamed)
        for key, (path, unnamed, named) in AGENT_MODULES.items()
    },
    **{key: Target(path, known) for key, (path, known) in AGENT_FUNCTIONS.items()},
    **{f"torch.{name}": Target(f"torch:{name}", known) for name, known in TORCH_FUNCTIONS.items()},
    **{
        f"linalg.{name}": Target(f"torch.linalg:{name}", known)
        for name, known in LINEAR_ALGEBRA.items()
    },
    **{
        f"operator.{name}": Target(f"operator:{name}", CONSTANTS, infix=sign)
        for name, sign in INFIX.items()
    },
    **{
        f"compat.{name}": Target(f"{COMPAT}.{module}:{name}", known)
        for module, functions in COMPAT_FUNCTIONS.items()
        for name, known in functions.items()
    },
}
"""Key in plans and .pth files to operation. `register_target` adds a user's own."""


def piece_names() -> set[str]:
    """Return the names that emitted source may define beside the model."""
    return {target.path.partition(":")[2] for target in TARGETS.values() if target.is_piece}


def register_target(key: str, target: Target) -> None:
    """Add an operation of a user's own rules (--rules MODULE).

    Raises:
        ValueError: The key is taken.
    """
    if key in TARGETS:
        msg = f"target '{key}' exists already: {TARGETS[key].path}"
        raise ValueError(msg)
    TARGETS[key] = target
