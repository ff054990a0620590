"""Functions of torch and of Python's `operator` that nodes of `keras.ops` become: names and arguments, as plain data.

`converters.targets` makes entries of its table from them; rules in `converters.layers.operators` use them.
"""

from __future__ import annotations

_OF_EVERY_ELEMENT = (
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"),
    *("exp2", "expm1", "log1p", "log2", "log10", "rsqrt", "reciprocal", "sign", "signbit"),
    *("floor", "ceil", "trunc", "isfinite", "isinf", "isnan", "isneginf", "isposinf"),
    *("logical_not", "bitwise_not", "erf", "erfc", "erfinv", "deg2rad", "rad2deg", "sinc", "i0"),
    *("digamma", "lgamma", "real", "conj", "angle", "isreal"),
)
_OF_TWO = (
    *("atan2", "hypot", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor"),
    *("fmod", "nextafter", "outer", "kron", "heaviside", "gcd", "lcm", "where"),
    *("inner", "vdot", "ldexp", "maximum", "minimum", "fmax", "fmin"),
)
TORCH_FUNCTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*_OF_EVERY_ELEMENT, *_OF_TWO), ()),
    "round": ("decimals",),
    "argmax": ("dim", "keepdim"),
    "argmin": ("dim", "keepdim"),
    "logsumexp": ("dim", "keepdim"),
    "any": ("dim", "keepdim"),
    "all": ("dim", "keepdim"),
    "var": ("dim", "keepdim", "correction"),
    "std": ("dim", "keepdim", "correction"),
    "nanmean": ("dim", "keepdim"),
    "nansum": ("dim", "keepdim"),
    "count_nonzero": ("dim",),
    "quantile": ("q", "dim", "keepdim", "interpolation"),
    "nanquantile": ("q", "dim", "keepdim", "interpolation"),
    "isin": ("invert",),
    "cumsum": ("dim",),
    "cumprod": ("dim",),
    "diff": ("n", "dim"),
    "roll": ("shifts", "dims"),
    "rot90": ("k", "dims"),
    "repeat_interleave": ("repeats", "dim"),
    "tril": ("diagonal",),
    "triu": ("diagonal",),
    "diagonal": ("offset", "dim1", "dim2"),
    "diag_embed": ("offset",),
    "trapezoid": ("dx", "dim"),
    "cholesky_inverse": ("upper",),
    "nan_to_num": ("nan", "posinf", "neginf"),
    "tensordot": ("dims",),
    "topk": ("k", "dim", "sorted"),
    "unbind": ("dim",),
    "split": ("split_size_or_sections", "dim"),
    "tensor_split": ("indices_or_sections", "dim"),
    "argsort": ("dim", "stable", "descending"),
    "zeros_like": (),
    "ones_like": (),
    "full_like": ("fill_value",),
    "broadcast_to": ("size",),
    "take_along_dim": ("dim",),
    "searchsorted": ("right",),
}
"""Function of `torch` to the arguments that may be given."""
LINEAR_ALGEBRA: dict[str, tuple[str, ...]] = {
    "vector_norm": ("ord", "dim", "keepdim"),
    "matrix_norm": ("ord", "dim", "keepdim"),
    **dict.fromkeys(("inv", "det", "solve", "slogdet", "svdvals"), ()),
    "cholesky": ("upper",),
    "qr": ("mode",),
    "solve_triangular": ("upper",),
}
"""Function of `torch.linalg` to the arguments that may be given."""
INFIX: dict[str, str] = {
    "mod": "%",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "and_": "&",
    "or_": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
}
"""Function of `operator` to how it is written between its operands."""
OPERATIONS: dict[str, tuple[str, ...]] = {
    "constant": ("values", "dtype"),
    "cast": ("dtype",),
    "round_as": (),
    "cube_root": (),
    "round_decimals": ("decimals",),
    "divide_no_nan": (),
    "heaviside": (),
    "ldexp": (),
    "floor_divide": (),
    "is_close": ("rtol", "atol", "equal_nan"),
    "numpy_dot": (),
    "one_hot_along": ("classes", "axis", "dtype"),
    "multi_hot_along": ("classes", "axis", "dtype"),
    "product_over": ("dim", "keepdim"),
    "sort_along": ("dim",),
    "top_k": ("k",),
    "take_places": ("indices", "dim"),
    "gather_places": ("dim",),
    "take_of_samples": (),
    "sequence_mask": ("size", "dtype"),
    "moments": ("dim", "keepdim"),
    "reshape_by_batch": ("shape",),
    "weighted_average": ("dim",),
}
"""Function of `torch_impl.keras_compat.operations` to its arguments."""
WITHOUT_NAN: dict[str, tuple[str, ...]] = {
    "replace_nan": ("value",),
    "extreme_without_nan": ("dim", "keepdim", "largest"),
    "place_without_nan": ("dim", "keepdim", "largest"),
    "variance_without_nan": ("dim", "keepdim"),
}
"""Function of `torch_impl.keras_compat.without_nan` to its arguments."""
SERIES: dict[str, tuple[str, ...]] = {
    "evenly_spaced": ("num", "endpoint", "axis"),
    "mesh_grid": ("indexing",),
    "correlate": ("mode",),
    "correlation_coefficients": (),
    "cross_product": ("axes",),
    "count_elements": (),
    "spread_like": (),
    "saturate_cast": ("dtype",),
}
"""Function of `torch_impl.keras_compat.series` to its arguments."""
PLACES: dict[str, tuple[str, ...]] = {
    "slice_at": ("shape",),
    "update_at": (),
    "scatter_values": ("shape",),
    "scatter_onto": ("reduce",),
}
"""Function of `torch_impl.keras_compat.scattering` to its arguments."""
CONVOLVING: dict[str, tuple[str, ...]] = {
    "convolve": ("stride", "dilation", "same", "depthwise", "channels_last"),
    "convolve_transposed": (
        *("stride", "dilation", "padding", "output_padding", "cut", "channels_last"),
    ),
    "extract_windows": ("size", "stride", "dilation", "same", "channels_last"),
    "depth_to_space": ("block", "channels_last"),
    "space_to_depth": ("block", "channels_last"),
}
"""Function of `torch_impl.keras_compat.convolving` to its arguments."""
_FRAMES = ("length", "step", "fft_length", "window", "center")
SIGNALS: dict[str, tuple[str, ...]] = {
    "fourier": ("axes", "inverse"),
    "half_fourier": ("length",),
    "inverse_half_fourier": ("length",),
    "split_frames": ("length", "step"),
    "short_time_fourier": _FRAMES,
    "inverse_short_time_fourier": (*_FRAMES, "steps"),
}
"""Function of `torch_impl.keras_compat.signals` to its arguments."""
MATRICES: dict[str, tuple[str, ...]] = {
    "log_determinant": (),
    "lu_factor": (),
    "pseudo_inverse": ("rcond",),
    "least_squares": ("rcond",),
    "matrix_rank": ("tol",),
    "solve_triangle": ("lower",),
}
"""Function of `torch_impl.keras_compat.matrices` to its arguments."""
SEGMENTS: dict[str, tuple[str, ...]] = {
    "segment_reduce": ("count", "reduce"),
    "in_top_k": ("k",),
    "unravel_index": ("sizes",),
    "power_columns": ("count", "increasing"),
    "bits_as": ("dtype",),
}
"""Function of `torch_impl.keras_compat.segments` to its arguments."""
CROSSENTROPIES: dict[str, tuple[str, ...]] = {
    "binary_crossentropies": ("from_logits",),
    "categorical_crossentropies": ("from_logits", "axis"),
    "sparse_categorical_crossentropies": ("from_logits",),
}
"""Function of `torch_impl.keras_compat.crossentropies` to its arguments."""
IMAGE_TRANSFORMS: dict[str, tuple[str, ...]] = {
    "to_gray": ("channels_last",),
    "rgb_to_hsv": ("channels_last",),
    "hsv_to_rgb": ("channels_last",),
    "gaussian_blur": ("size", "sigma", "channels_last"),
    "sobel_edges": ("channels_last",),
    "structural_similarity": ("largest", "size", "sigma", "k1", "k2", "channels_last"),
    "project_images": ("nearest", "fill", "value", "channels_last"),
    "homography": (),
    "read_places": ("order", "fill", "value"),
}
"""Function of `torch_impl.keras_compat.image_transforms` to its arguments."""
COMPAT_FUNCTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "operations": OPERATIONS,
    "without_nan": WITHOUT_NAN,
    "series": SERIES,
    "scattering": PLACES,
    "convolving": CONVOLVING,
    "signals": SIGNALS,
    "matrices": MATRICES,
    "segments": SEGMENTS,
    "crossentropies": CROSSENTROPIES,
    "image_transforms": IMAGE_TRANSFORMS,
}
"""Module of `torch_impl.keras_compat` to its functions that operations become."""
