"""Operations of `keras.ops` one by one: each is an output of its own of a network for its family, against Keras.

Gradients are those of the sum over all real outputs. What operations do together is in test_operators.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from parity_tests.test_operators import TOLERANCE, difference

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:You passed `rms_scaling")]

Build = Callable[[Any, Any], list[Any]]
"""keras.ops and an input of (batch, 4, 6) to outputs."""


ROUNDED_CONSTANTS = {
    "gelu": "tf.nn.gelu makes sqrt(2) a float32 constant before it casts it",
    "hard_sigmoid": "the backward pass of torch multiplies by a float32 sixth",
    "hard_silu": "as hard_sigmoid",
    "hard_swish": "as hard_sigmoid",
    "logaddexp2": "Keras makes log(2) a float32 constant before it casts it",
}
ROUNDED_CONSTANT_TOLERANCE = 1e-7
"""One float32 rounding of a constant (6e-8); these have no part in the gradient that is compared."""


def whole(ops: Any, x: Any) -> Any:
    """Return whole numbers from x, between about -12 and 12."""
    return ops.cast(x * 4.0, "int32")


def squares(ops: Any, x: Any) -> Any:
    """Return a positive definite matrix of 4 x 4 for every sample."""
    return ops.matmul(x, ops.transpose(x, (0, 2, 1))) + ops.eye(4, dtype="float64")


def fixed(ops: Any, x: Any) -> Any:
    """Return the first of x without its gradient: TensorFlow has none for updates of slices."""
    return ops.stop_gradient(x[0])


def gaps(ops: Any, x: Any) -> Any:
    """Return numbers from x, NaN where x is below -0.5."""
    return ops.log(x + 0.5)


def kernel(*shape: int) -> Any:
    """Return numbers for a kernel."""
    return np.sin(np.arange(1.0, 1.0 + np.prod(shape))).reshape(shape)


def unit(ops: Any, x: Any) -> Any:
    """Return images of (batch, 4, 2, 3) within 0 and 1."""
    return ops.reshape(ops.sigmoid(x), (-1, 4, 2, 3))


FAMILIES: dict[str, Build] = {
    "angles": lambda ops, x: [
        *(f(ops.tanh(x)) for f in (ops.arccos, ops.arcsin, ops.arctan, ops.arctanh)),
        *(f(x) for f in (ops.arcsinh, ops.cos, ops.cosh, ops.sin, ops.sinh, ops.tan)),
        *(f(x) for f in (ops.deg2rad, ops.rad2deg, ops.sinc)),
        *(ops.arccosh(ops.abs(x) + 1.5), ops.arctan2(x, x + 3.0), ops.hypot(x, x + 3.0)),
    ],
    "exponentials": lambda ops, x: [
        *(f(ops.abs(x) + 0.5) for f in (ops.log10, ops.log1p, ops.log2, ops.rsqrt, ops.reciprocal)),
        *(ops.exp2(x), ops.expm1(x), ops.logaddexp(x, 2.0 * x), ops.logaddexp2(x, 2.0 * x)),
    ],
    "special functions": lambda ops, x: [
        *(ops.erf(x), ops.erfinv(ops.tanh(x))),
    ],
    "rounding": lambda ops, x: [
        *(f(4.0 * x) for f in (ops.ceil, ops.floor, ops.round, ops.trunc, ops.sign, ops.signbit)),
        *(ops.mod(x, 0.75), ops.heaviside(ops.relu(x), ops.full_like(x, 0.5))),
        *(ops.nan_to_num(ops.log(x)), ops.copy(x), ops.negative(x)),
        *(ops.saturate_cast(300.0 * x, "float32"), ops.divide_no_nan(x, ops.relu(x))),
        *(ops.true_divide(x, 3.0), ops.power(ops.abs(x) + 0.5, x), ops.ldexp(x, whole(ops, x))),
    ],
    "comparisons": lambda ops, x: [
        *(f(ops.relu(x), 0.0) for f in (ops.equal, ops.not_equal, ops.greater, ops.greater_equal)),
        *(f(x, ops.flip(x, axis=1)) for f in (ops.less, ops.less_equal, ops.isclose)),
        *(f(ops.log(x)) for f in (ops.isfinite, ops.isinf, ops.isnan, ops.isneginf, ops.isposinf)),
        *(f(x > 0.0, x < 0.5) for f in (ops.logical_and, ops.logical_or, ops.logical_xor)),
        *(ops.logical_not(x > 0.0), ops.all(x > -1.0, axis=1), ops.any(x > 1.0, axis=(1, 2))),
        ops.count_nonzero(ops.relu(x), axis=2),
    ],
    "whole numbers": lambda ops, x: [
        *(
            f(whole(ops, x), ops.abs(whole(ops, x)) + 2)
            for f in (ops.bitwise_and, ops.bitwise_or, ops.bitwise_xor)
        ),
        *(
            f(whole(ops, x), ops.ones_like(whole(ops, x)) * 2)
            for f in (ops.bitwise_left_shift, ops.bitwise_right_shift)
        ),
        *(
            f(whole(ops, x), ops.ones_like(whole(ops, x)))
            for f in (ops.left_shift, ops.right_shift)
        ),
        *(ops.bitwise_invert(whole(ops, x)), ops.bitwise_not(whole(ops, x))),
        *(f(whole(ops, x), whole(ops, ops.flip(x, axis=1))) for f in (ops.gcd, ops.lcm)),
        *(ops.argmin(x, axis=1), ops.digitize(x, np.array([-0.5, 0.0, 0.7]))),
        ops.multi_hot(ops.abs(whole(ops, x))[:, 0] % 5, 5),
        *(f(whole(ops, x), axis=1) for f in (ops.mean, ops.var, ops.std, ops.average, ops.sum)),
        *(ops.round(7 * whole(ops, x), decimals=-1), ops.mean(x > 0.0, axis=1)),
        ops.isin(whole(ops, x), [1, -2]),
    ],
    "activations": lambda ops, x: [
        *(f(x) for f in (ops.celu, ops.elu, ops.gelu, ops.glu, ops.hard_sigmoid, ops.hard_silu)),
        *(f(x) for f in (ops.hard_shrink, ops.hard_swish, ops.hard_tanh, ops.log_sigmoid)),
        *(f(x) for f in (ops.relu6, ops.selu, ops.silu, ops.swish, ops.soft_shrink)),
        *(f(x) for f in (ops.softsign, ops.sparse_plus, ops.sparse_sigmoid, ops.sparsemax)),
        *(ops.squareplus(x), ops.tanh_shrink(x), ops.threshold(x, 0.2, -0.1)),
    ],
    "shapes": lambda ops, x: [
        *(ops.append(x, 2.0 * x, axis=1), *ops.array_split(x, 4, axis=2)),
        *(ops.broadcast_to(x[:, :1], (3, 4, 6)), ops.diagonal(x, axis1=1, axis2=2)),
        *(*ops.dsplit(x, 3), *ops.hsplit(x, 2), ops.fliplr(x), ops.hstack([x, -x])),
        *(ops.repeat(x, 2, axis=1), ops.rot90(x, k=1, axes=(1, 2)), ops.swapaxes(x, 1, 2)),
        *(ops.tile(x, (1, 2, 1)), ops.trace(x, axis1=1, axis2=2), ops.tril(x), ops.triu(x, k=1)),
        *(ops.full_like(x, 2.5), ops.ones_like(x), ops.zeros_like(x), ops.diff(x, axis=2)),
        *(ops.slice(x, (0, 1, 2), (3, 2, 3)), ops.ravel(ops.mean(x, axis=(1, 2)))),
    ],
    "matrices": lambda ops, x: [
        *(f(squares(ops, x)) for f in (ops.cholesky, ops.det, ops.inv)),
        *(ops.solve(squares(ops, x), x), ops.dot(x, np.linspace(-1.0, 1.0, 12).reshape(6, 2))),
        ops.cross(x[:, :, :3], x[:, :, 3:]),
    ],
    "statistics": lambda ops, x: [
        *(ops.amax(x, axis=1), ops.amin(x, axis=2), ops.var(x, axis=(1, 2)), ops.median(x, axis=2)),
        *(ops.quantile(x, 0.25, axis=2), ops.cumprod(x, axis=1)),
        ops.average(x, axis=2, weights=np.arange(1.0, 7.0)),
    ],
    "without NaN": lambda ops, x: [
        *(f(gaps(ops, x), axis=1) for f in (ops.nansum, ops.nanmean, ops.nanmax, ops.nanmin)),
        *(f(gaps(ops, x), axis=(1, 2)) for f in (ops.nanvar, ops.nanstd, ops.nanprod)),
        *(ops.nanmax(x, axis=1, keepdims=True), ops.nanargmax(gaps(ops, x), axis=2)),
        *(ops.nanargmin(gaps(ops, x), axis=1), ops.nancumsum(gaps(ops, x), axis=1)),
        *(ops.nancumprod(gaps(ops, x), axis=2), ops.ptp(x, axis=2, keepdims=True)),
        ops.nanmin(gaps(ops, -ops.abs(x) - 0.6), axis=1),
    ],
    "padding": lambda ops, x: [
        ops.pad(x, ((0, 0), (2, 1), (0, 5)), "reflect"),
        ops.pad(x, ((0, 0), (1, 4), (6, 0)), "symmetric"),
        ops.pad(whole(ops, x), ((0, 0), (3, 0), (0, 2)), "reflect"),
        ops.pad(x, ((0, 1), (1, 0), (0, 2)), constant_values=1.5),
        ops.image.pad_images(x[..., None], 1, 2, target_height=8, target_width=9),
        ops.image.crop_images(x[..., None], 1, 2, target_height=2, right_cropping=1),
    ],
    "rows": lambda ops, x: [
        *(f(x[0]) for f in (ops.sort, ops.diag)),
        *(ops.sort(x, axis=None), ops.argsort(x, axis=None), ops.take(x, [3, 0, 7])),
        *(ops.cumsum(x, axis=None), ops.repeat(x[0], 3), ops.diff(x, n=5, axis=1)),
        *(ops.append(x[:, 0], 2.0 * x), ops.diagflat(x[0, :2, :2], k=-1)),
        *(
            ops.diag(x[0], k=-2),
            ops.expand_dims(ops.vdot(x, x), 0),
            ops.inner(x, x[0]),
            ops.kron(x[0], x[1, :2]),
        ),
    ],
    "places": lambda ops, x: [
        ops.scatter(np.array([[1], [3], [1]]), x[0, :3], (5, 6)),
        ops.scatter_update(x[0], np.array([[1], [3]]), x[1, :2]),
        *(
            ops.scatter_update(x[0], np.array([[1, 2], [1, 2], [3, 0]]), x[1, 0, :3], reduction)
            for reduction in ("add", "max", "min", "mul")
        ),
        *(
            ops.slice_update(fixed(ops, x), np.array([1, 2]), fixed(ops, x)[:2, :3]),
            ops.imag(x),
            ops.real(x),
        ),
        ops.slice(x[0], ops.abs(whole(ops, x))[0, 0, :2] % 2, (2, 3)),
        *(ops.conj(x), ops.angle(x), ops.isreal(x), ops.cbrt(x)),
        ops.searchsorted(ops.sort(x[0, 0]), x[1, 1]),
    ],
    "normalizing": lambda ops, x: [
        ops.rms_normalization(x, np.linspace(0.5, 2.0, 6), epsilon=0.01),
        ops.rms_normalization(x, axis=(1, 2)),
        ops.layer_normalization(x, np.linspace(0.5, 2.0, 6), np.linspace(-1.0, 1.0, 6)),
        ops.layer_normalization(x, np.linspace(0.5, 2.0, 4), axis=1, epsilon=0.01),
        ops.layer_normalization(x, np.linspace(0.5, 2.0, 6), rms_scaling=True),
    ],
    "images": lambda ops, x: [
        *(ops.average_pool(x, 2, 2), ops.max_pool(x, 2, 1, "same")),
        ops.image.rgb_to_grayscale(ops.reshape(x, (-1, 4, 2, 3))),
    ],
    "series": lambda ops, x: [
        ops.linspace(x[:, 0], x[:, 1], 5, axis=1),
        ops.linspace(x[:, 0], 2.0, 4, endpoint=False),
        ops.logspace(x[:, 0], x[:, 1], 3, base=2),
        ops.geomspace(ops.exp(x[:, 0]), ops.exp(x[:, 1]), 3, dtype="float64"),
        ops.cross(x[..., :2], x[..., 2:5]),
        ops.cross(x[..., :2], x[..., 2:4]),
        ops.cross(x[:, :3], x[:, 1:], axis=1),
        ops.einsum("bij,bkj", x, x),
        ops.full_like(x, x[0, 0, 0]),
        ops.corrcoef(x[:, 0]),
        ops.correlate(x[0, 0], x[0, 1, :3], mode="same"),
        *ops.meshgrid(x[0, 0], x[0, 1, :3]),
        ops.dstack([x[:, 0], x[:, 1]]),
        ops.saturate_cast(x * 100.0, "uint8"),
        ops.size(x[0]),
    ],
    "convolutions": lambda ops, x: [
        ops.conv(x, kernel(3, 6, 5), strides=2, padding="same", data_format="channels_last"),
        ops.conv(x, kernel(2, 6, 5), dilation_rate=2, data_format="channels_last"),
        ops.depthwise_conv(x, kernel(2, 4, 2), data_format="channels_first"),
        ops.conv(x[..., None], kernel(3, 2, 1, 2), padding="same", data_format="channels_last"),
        ops.depthwise_conv(x, kernel(2, 6, 2), padding="same", data_format="channels_last"),
        ops.separable_conv(x, kernel(2, 6, 2), kernel(1, 12, 3), data_format="channels_last"),
        *(
            ops.image.extract_patches(x[..., None], (3, 2), 2, padding=padding)
            for padding in ("same", "valid")
        ),
        ops.depth_to_space(ops.reshape(x, (-1, 2, 3, 4)), 2),
        ops.space_to_depth(ops.reshape(x, (-1, 3, 4, 2)), 2, data_format="channels_first"),
        ops.fold(ops.unfold(x[:, None], (2, 3), padding=(1, 0)), (4, 6), (2, 3), padding=(1, 0)),
        ops.rearrange(x[0], "h (w c) -> c h w", c=3),
    ],
    "attention": lambda ops, x: [
        ops.dot_product_attention(x[:, :, None], x[:, :3, None], x[:, 1:, None], scale=0.25),
        ops.dot_product_attention(
            *(ops.reshape(x, (-1, 4, 2, 3)),) * 3,
            bias=kernel(2, 4, 4),
            mask=np.tri(4, 4, -1) > 0,
            scale=0.5,
            is_causal=True,
        ),
        ops.batch_normalization(x, kernel(4), kernel(4) ** 2, 1, kernel(4), kernel(4), 0.01),
        ops.batch_normalization(x, *ops.moments(x, (0, 1)), axis=-1),
    ],
    "spectra": lambda ops, x: [
        *(*ops.fft((x, 2.0 * x)), *ops.fft2((x, 2.0 * x)), *ops.ifft2((x, 2.0 * x))),
        *(*ops.rfft(x[:, 0]), *ops.rfft(ops.stop_gradient(x), 5), ops.irfft((x, 2.0 * x))),
        *ops.stft(ops.reshape(x, (-1, 24)), 6, 3, 8),
        ops.istft(ops.stft(ops.reshape(x, (-1, 24)), 8, 3, 8, window="hamming"), 8, 3, 8),
        ops.extract_sequences(x, 3, 2),
    ],
    "factors": lambda ops, x: [
        *(*ops.qr(ops.transpose(x, (0, 2, 1))), *ops.slogdet(squares(ops, x))),
        *(ops.cholesky(squares(ops, x), upper=True), ops.logdet(squares(ops, x))),
        ops.linalg.cholesky_inverse(ops.cholesky(squares(ops, x))),
        ops.solve_triangular(squares(ops, x), x, lower=True),
        ops.solve_triangular(squares(ops, x), x[..., 0]),
        *(ops.solve(squares(ops, x), x[..., 0]), ops.lstsq(ops.transpose(x[0]), x[1, 0])),
        *(ops.svd(x, compute_uv=False), ops.linalg.pinv(fixed(ops, x), rcond=0.4)),
        *(ops.linalg.matrix_rank(x, tol=1.5), *ops.lu_factor(ops.stop_gradient(x[0, :, :4]))),
    ],
    "segments": lambda ops, x: [
        *(
            f(x[0], np.array([2, 0, -1, 2], "int32"), num_segments=4)
            for f in (ops.segment_sum, ops.segment_max, ops.segment_min, ops.segment_prod)
        ),
        ops.in_top_k(np.array([0, 7, 5], "int32"), ops.cast(x[:, 0], "float32"), 2),
        *ops.unravel_index(ops.abs(whole(ops, x))[0, 0], (3, 5)),
        *(ops.cdist(x, 2.0 * x[:, :2]), ops.trapezoid(x, dx=0.5, axis=1)),
        *(ops.vander(x[0, 0], 3), ops.select([x > 1.0, x > 0.0], [2.0 * x, ops.exp(x)], 7.0)),
        *(ops.view(x, "int64"), ops.empty_like(x), ops.allclose(x, 2 * x, atol=20.0)),
        ops.isclose(x, whole(ops, x), rtol=0.5),
        *(
            ops.matmul(x, whole(ops, x)[0, 0]),
            ops.dot(whole(ops, x), np.arange(12.0).reshape(6, 2)),
        ),
        *(ops.einsum("bij,bkj->bik", x, x > 0.0), ops.any(ops.cast(x > 0.0, "uint8"), axis=1)),
        ops.cumsum(2.0 * x, axis=1, dtype="int32"),
        *(1.0 - (x > 0.0), (x > 0.0) - x, x ** ops.cast(x > 0.0, "bool"), 2.0 % (x + 7.0)),
        *(ops.floor(whole(ops, x)), ops.abs(x > 0.0), ops.cast(ops.cast(x, "float32"), "float64")),
    ],
    "losses": lambda ops, x: [
        ops.binary_crossentropy(ops.sigmoid(2.0 * x) + 0.0, ops.tanh(x) / 2.0 + 0.5),
        ops.binary_crossentropy(ops.sigmoid(2.0 * x) + 0.0, x, from_logits=True),
        ops.categorical_crossentropy(ops.softmax(2.0 * x) + 0.0, ops.sigmoid(x) + 0.0),
        ops.categorical_crossentropy(ops.softmax(2.0 * x) + 0.0, x, from_logits=True),
        ops.sparse_categorical_crossentropy(ops.argmax(x, -1), x, from_logits=True),
        ops.sparse_categorical_crossentropy(ops.argmin(x, -1)[..., None], ops.sigmoid(x) + 0.0),
        ops.psnr(x, ops.tanh(x), 2.0),
    ],
    "pictures": lambda ops, x: [
        ops.image.rgb_to_hsv(unit(ops, x)),
        ops.image.hsv_to_rgb(ops.stop_gradient(unit(ops, x))),
        *(ops.image.gaussian_blur(unit(ops, x), (3, 3), (0.7, 1.2)),),
        ops.image.sobel_edges(unit(ops, x)),
        ops.image.ssim(unit(ops, x), unit(ops, 2.0 * x), filter_size=2),
        *(
            ops.image.map_coordinates(x[0], 3.0 * x[1, :2], 1, fill)
            for fill in ("constant", "nearest", "wrap", "reflect")
        ),
        ops.image.map_coordinates(x[0], 3.0 * ops.stop_gradient(x[1, :2]), 0),
        ops.image.rgb_to_grayscale(ops.transpose(unit(ops, x), (0, 3, 1, 2)), "channels_first"),
        ops.image.rgb_to_grayscale(ops.cast(255.0 * unit(ops, x), "uint8")),
    ],
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("family", FAMILIES)
def test_every_operation_of_the_family_computes_the_same(
    family: str, keras: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    import tensorflow as tf

    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((4, 6), dtype="float64", name="x")
    model = keras.Model(inputs, FAMILIES[family](keras.ops, inputs), name="network")
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(7).normal(size=(3, 4, 6))
    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        legacy = dict(zip(output_names(model), model(watched), strict=True))
        exact = [
            name
            for name, output in legacy.items()
            if output.dtype.is_floating and name.split()[0] not in ROUNDED_CONSTANTS
        ]
        loss = tf.add_n([watched[0, 0, 0] * 0.0, *(total_of(tf, legacy[name]) for name in exact)])
    slope = tape.gradient(loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    report = torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    given = torch.from_numpy(x).requires_grad_()
    computed = torchward.load(tmp_path / "model.pth")(given)
    outputs = dict(zip(legacy, computed, strict=True))
    total = sum((outputs[name][outputs[name].isfinite()].sum() for name in exact), 0 * given.sum())
    [gradient] = torch.autograd.grad(total, given)

    seen = {"gradient": difference(slope.numpy(), gradient.numpy())}
    for name, expected in legacy.items():
        assert tuple(outputs[name].shape) == tuple(expected.shape), name
        found = outputs[name].detach().double().numpy()
        seen[name] = difference(expected.numpy().astype(float), found)
    record_property("dtype", "float64")
    record_property("allowed", TOLERANCE)
    record_property("rules", list(report.layers))
    rounded = {name for name in seen if name.split()[0] in ROUNDED_CONSTANTS}
    record_property("difference", max(seen[name] for name in {*seen} - rounded))
    wrong = {
        name: worst
        for name, worst in seen.items()
        if not worst <= (ROUNDED_CONSTANT_TOLERANCE if name in rounded else TOLERANCE)
    }
    assert wrong == {}


def output_names(model: Any) -> list[str]:
    """Return the names of the outputs with their numbers: a split has several outputs of one name."""
    return [f"{name} {index}" for index, name in enumerate(model.output_names)]


def total_of(tf: Any, output: Any) -> Any:
    """Return the sum of all finite values."""
    kept = tf.boolean_mask(tf.reshape(output, (-1,)), tf.math.is_finite(tf.reshape(output, (-1,))))
    return tf.cast(tf.reduce_sum(kept), "float64")


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill", ["constant", "nearest", "reflect", "wrap"])
def test_projected_images_read_the_same_places(
    interpolation: str, fill: str, keras: Any, tmp_path: Path
) -> None:
    transform = np.array([1.1, 0.2, -3.3, -0.15, 0.9, 2.2, 0.01, -0.02], "float32")
    inputs = keras.Input((7, 6, 2))
    outputs = keras.ops.image.affine_transform(inputs, transform, interpolation, fill, 0.5)
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(7).normal(size=(3, 7, 6, 2)).astype("float32")
    model.save(tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    computed = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x)).numpy()

    assert difference(np.asarray(model(x)), computed) < 1e-5


def test_a_layer_behind_a_cast_computes_in_its_own_precision(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    wide = keras.ops.exp(keras.ops.cast(inputs, "float64")) + 1.0
    half = keras.ops.cast(inputs, "float16")
    outputs = [keras.layers.Dense(3)(wide), keras.layers.ReLU()(half), wide]
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(7).normal(size=(3, 4)).astype("float32")
    model.save(tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    computed = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    for legacy, found in zip(model(x), computed, strict=True):
        assert found.detach().numpy().dtype == legacy.numpy().dtype
        assert difference(legacy.numpy(), found.detach().numpy()) < 1e-6
