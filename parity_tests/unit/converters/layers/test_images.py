from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.images import augmentation, random_crop, resizing
from converters.registry import Lowered, Shape, TorchStep


@pytest.fixture(scope="module")
def keras() -> Any:  # Keras has no types
    return pytest.importorskip("keras")


def cropped(shape: Shape, **config: object) -> list[TorchStep]:
    steps = random_crop(Layer("crop", "RandomCrop", {"height": 2, "width": 3, **config}), shape)
    assert isinstance(steps, list)
    return steps


def test_random_crop_of_keras_2_resizes_the_middle() -> None:
    steps = cropped((None, 6, 6, 1))

    assert [step.op for step in steps][1:3] == ["compat.crop_to_ratio", "F.interpolate"]
    assert steps[-1].shape == (None, 2, 3, 1)


def test_random_crop_of_keras_3_leaves_images_as_they_are() -> None:
    assert cropped((None, 6, 6, 1), data_format="channels_last") == []


@pytest.mark.tf
def test_pipeline_is_a_nested_model_and_augmentations_are_noted(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4, 5, 3))
    pipeline = keras.layers.Pipeline(
        [keras.layers.Rescaling(0.5), keras.layers.RandomFlip(), keras.layers.CenterCrop(2, 3)]
    )
    model = keras.Model(inputs, pipeline(inputs))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(3).normal(size=(2, 4, 5, 3)).astype("float32")

    result = torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    np.testing.assert_array_equal(found.numpy(), model.predict(x, verbose=0))
    assert any("(RandomFlip) augments in training in Keras" in note for note in result.notes)


@pytest.mark.tf
@pytest.mark.parametrize("shape", [(9, 11, 2), (6, 3, 2), (2, 8, 2)])
def test_middle_of_images_of_any_size_and_of_one_without_a_batch(
    keras: Any, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    crop, resizing = keras.layers.CenterCrop(5, 4), keras.layers.Resizing(3, 5)
    batch, image = keras.Input((None, None, 2)), keras.Input(batch_shape=(None, None, 2))
    model = keras.Model([batch, image], [crop(batch), crop(image), resizing(image)])
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(5).normal(size=(3, *shape)).astype("float32")
    legacy = model([x, x[0]])

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x), torch.from_numpy(x[0]))

    for expected, value in zip(legacy, found, strict=True):
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=0, atol=1e-6)


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_frames_of_bytes_stay_bytes(
    keras: Any, tmp_path: Path, data_format: str, interpolation: str
) -> None:
    shape = (5, 6, 2) if data_format == "channels_last" else (None, 5, 6)
    inputs = keras.Input(shape, dtype="uint8")
    settings = {"data_format": data_format, "interpolation": interpolation}
    outputs = [
        # Twice and half as large: weights that float32 has, so that halves are halves on both sides.
        keras.layers.Resizing(10, 3, **settings)(inputs),
        keras.layers.UpSampling2D(2, **settings)(inputs),
    ]
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    sizes = [2 if size is None else size for size in shape]
    x = np.random.default_rng(3).integers(0, 256, (2, *sizes)).astype("uint8")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    for tensor, legacy in zip(found, model(x), strict=True):
        assert tensor.dtype == torch.uint8
        np.testing.assert_array_equal(tensor.numpy(), legacy.numpy())


def test_boxes_beside_images_that_move_are_refused() -> None:
    shapes = ((None, 4, 4), (None, 4), (None, 8, 6, 3))

    with pytest.raises(UnsupportedError, match="a dictionary of 3 tensors"):
        resizing(Layer("resize", "Resizing", {"height": 2, "width": 3}), *shapes)


def test_tensors_beside_images_of_other_colours_stay_as_they_are() -> None:
    shapes = ((None, 4, 4), (None, 8, 6, 3))

    found = augmentation(Layer("light", "RandomBrightness", {}), *shapes)

    assert isinstance(found, Lowered)
    assert found.outputs == ("input_0", "input_1")


WITH_ARGUMENTS: dict[str, dict[str, object]] = {
    "RandomZoom": {"height_factor": 0.25},
    "RandomTranslation": {"height_factor": 0.25, "width_factor": 0.25},
    "RandomPosterization": {"factor": 4},
    **{
        f"Random{name}": {"factor": 0.25}
        for name in ("Rotation", "Sharpness", "Brightness", "Contrast", "Hue", "Invert")
    },
    **{name: {} for name in ("RandomFlip", "RandomGrayscale", "AugMix", "CutMix", "MixUp")},
    **{name: {} for name in ("RandomErasing", "RandomShear", "Solarization", "RandAugment")},
}


@pytest.mark.tf
def test_whole_images_have_the_type_of_keras_behind_every_augmentation(
    keras: Any, tmp_path: Path
) -> None:
    inputs = keras.Input((4, 5, 3), dtype="uint8")
    layers = [getattr(keras.layers, name)(**given) for name, given in WITH_ARGUMENTS.items()]
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(3).integers(0, 256, (2, 4, 5, 3)).astype("uint8")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    legacy = [y.numpy() for y in model(x, training=False)]
    types = zip(WITH_ARGUMENTS, legacy, found, strict=True)
    assert {str(y.dtype) for y in legacy} == {"uint8", "float32"}
    assert [name for name, y, z in types if str(y.dtype) != str(z.numpy().dtype)] == []


@pytest.mark.tf
def test_labels_beside_images_keep_their_type(keras: Any, tmp_path: Path) -> None:
    images = keras.Input((4, 5, 3), dtype="uint8", name="images")
    labels = keras.Input((2,), dtype="int32", name="labels")
    outputs = keras.layers.RandomErasing()({"images": images, "labels": labels})
    keras.Model({"images": images, "labels": labels}, outputs).save(tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(
        {
            "images": torch.zeros(1, 4, 5, 3, dtype=torch.uint8),
            "labels": torch.ones(1, 2, dtype=torch.int32),
        }
    )

    assert found["images"].dtype == torch.float32
    assert found["labels"].dtype == torch.int32
