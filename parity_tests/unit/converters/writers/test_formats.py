"""Files written without torch, read by torch and by the safetensors library."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.layouts import Layout
from converters.moves import Move
from converters.writers import content as content_module
from converters.writers.content import Content, OptimizerContent, OutputTensor, output_tensor
from converters.writers.output_file import OutputFile
from converters.writers.pth import write_pth
from converters.writers.registry import find_writer, writer
from converters.writers.safetensors import write_safetensors

NUMBERS = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def tensor_of(name: str, array: NDArray, layout: str | None = None) -> OutputTensor:
    axes = " ".join("abcd"[: array.ndim])
    info = ArrayInfo(name, array.shape, array.dtype, lambda: array)
    return output_tensor(Move(info, name, Layout.parse(layout or f"{axes} -> {axes}")), {})


def content_of(
    tensors: Sequence[OutputTensor],
    metadata: Mapping[str, object] | None = None,
    optimizer: OptimizerContent | None = None,
) -> Content:
    return Content(tensors, optimizer, {"name": "Network"}, lambda: metadata or {})


def write(
    path: Path, content: Content, function: Callable[[OutputFile, Content], None] = write_pth
) -> Path:
    with OutputFile(path) as file:
        function(file, content)
        file.finish()
        file.commit()
    return path


def values(dtype: str, shape: tuple[int, ...]) -> NDArray:
    count = int(np.prod(shape))
    return (
        np.arange(count).reshape(shape) % 2 if dtype == "bool" else np.arange(count).reshape(shape)
    ).astype(dtype)


SHAPES = [(), (0,), (1,), (5,), (3, 0, 2), (3, 5), (2, 3, 5)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, torch.Tensor]]:
    """Write one file of each format with all types and shapes, and read them in every way."""
    folder = tmp_path_factory.mktemp("formats")
    tensors = [
        tensor_of(f"{dtype} {shape}", values(dtype, shape)) for dtype in NUMBERS for shape in SHAPES
    ]
    pth = write(folder / "m.pth", content_of(tensors))
    other = write(folder / "m.safetensors", content_of(tensors), write_safetensors)
    return {
        "torch.load": torch.load(pth, weights_only=True)["model_state_dict"],
        "torch.load mmap": torch.load(pth, weights_only=True, mmap=True)["model_state_dict"],
        "safetensors": load_file(other),
    }


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("way", ["torch.load", "torch.load mmap", "safetensors"])
def test_every_type_and_shape_is_read_back(
    way: str,
    dtype: str,
    shape: tuple[int, ...],
    loaded: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    tensor = loaded[way][f"{dtype} {shape}"]

    assert tensor.dtype == NUMBERS[dtype]
    assert tuple(tensor.shape) == shape
    np.testing.assert_array_equal(tensor.numpy(), values(dtype, shape))


@pytest.mark.parametrize("function", [write_pth, write_safetensors])
@pytest.mark.parametrize("layout", ["a b -> b a", "a b -> a b", "a b -> (a b)"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_layout_and_byte_order_are_applied(
    function: Callable[[OutputFile, Content], None], layout: str, order: str, tmp_path: Path
) -> None:
    array = np.random.default_rng(0).normal(size=(7, 4)).astype(f"{order}f4")
    wanted = {"a b -> b a": array.T, "a b -> a b": array, "a b -> (a b)": array.reshape(-1)}[layout]
    path = write(tmp_path / "m", content_of([tensor_of("x", array, layout)]), function)

    loaded = (
        torch.load(path, weights_only=True)["model_state_dict"]
        if function is write_pth
        else load_file(path)
    )

    np.testing.assert_array_equal(loaded["x"].numpy(), wanted)


@pytest.mark.parametrize("function", [write_pth, write_safetensors])
@pytest.mark.parametrize("shape", [(700, 300), (301, 257)], ids=str)
def test_large_transposed_matrix_is_written_in_tiles(
    function: Callable[[OutputFile, Content], None],
    shape: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content_module, "CHUNK_BYTES", 64_000)
    array = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    path = write(tmp_path / "m", content_of([tensor_of("x", array, "a b -> b a")]), function)

    loaded = (
        torch.load(path, weights_only=True)["model_state_dict"]
        if function is write_pth
        else load_file(path)
    )

    np.testing.assert_array_equal(loaded["x"].numpy(), array.T)


METADATA = {
    "integers": [0, -1, 255, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, -(2**63), 10**30],
    "numbers": [0.0, -0.0, 1e-308, 1.7976931348623157e308, 0.1],
    "texts": ["", "a", "größe", "\x00\n'\"", "層" * 300, "\U0001f600"],
    "nothing": None,
    "truth": [True, False],
    "nested": {"empty": {}, "list": [], "tuple": (1, ("a",), ())},
}


def test_plain_data_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", content_of([], METADATA))

    loaded = torch.load(path, weights_only=True)["metadata"]

    assert loaded == METADATA
    assert repr(loaded["numbers"]) == repr(METADATA["numbers"])
    assert [type(value) for value in loaded["truth"]] == [bool, bool]


def test_safetensors_keeps_plain_data_as_json(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", content_of([], {"a": [1, "ü"]}), write_safetensors)

    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])

    assert size % 8 == 0
    assert json.loads(header["__metadata__"]["torchward_metadata"]) == {"a": [1, "ü"]}


def test_records_start_at_multiples_of_64_bytes(tmp_path: Path) -> None:
    tensors = [tensor_of(f"t{n}", np.ones(n, np.float32)) for n in range(1, 8)]
    path = write(tmp_path / "m.pth", content_of(tensors))

    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if "/data/" in info.filename]
        assert archive.testzip() is None
    data = path.read_bytes()
    for info in infos:
        name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
        assert (info.header_offset + 30 + name + extra) % 64 == 0
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert len(infos) == 7


def test_optimizer_state_is_what_torch_optim_takes(tmp_path: Path) -> None:
    group = {"lr": 0.5, "momentum": 0.9, "iterations": 4}
    slot = tensor_of("x/momentum_buffer", np.arange(3, dtype=np.float32))
    content = content_of([], None, OptimizerContent(group, [{"momentum_buffer": slot}, {}]))
    path = write(tmp_path / "m.pth", content)

    loaded = torch.load(path, weights_only=True)["optimizer_state_dict"]

    assert list(loaded["state"]) == [0]
    assert loaded["param_groups"] == [{**group, "params": [0, 1]}]
    assert loaded["state"][0]["momentum_buffer"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("function", "dtype"),
    [(write_pth, "uint32"), (write_safetensors, "complex64"), (write_safetensors, "uint32")],
)
def test_type_the_format_lacks_is_refused_with_the_arrays_name(
    function: Callable[[OutputFile, Content], None], dtype: str, tmp_path: Path
) -> None:
    content = content_of([tensor_of("strange", np.zeros(2, dtype))])

    with pytest.raises(UnsupportedError, match=f"array 'strange' is of type {dtype}"):
        write(tmp_path / "m", content, function)

    assert list(tmp_path.iterdir()) == []


def test_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set is not plain data"):
        write(tmp_path / "m.pth", content_of([], {"a": {1, 2}}))


def test_format_has_one_writer() -> None:
    with pytest.raises(ValueError, match="output format 'pth' has a writer already"):
        writer("pth", suffix=".x")(find_writer("pth").write)


@pytest.mark.parametrize("layout", ["a b -> a b", "a b -> b a"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_noticed_on_the_way(dtype: str, layout: str, value: float) -> None:
    array = values(dtype, (300, 4))
    array[299, 1], array[0, 0] = value, -value
    tensor = tensor_of("w", array, layout)

    for pieces in (tensor.chunks(), tensor.stored_chunks()):
        tensor.not_finite.clear()
        assert sum(piece.size for piece in pieces) == array.size
        assert list(tensor.not_finite) == ["w"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool"])
def test_large_numbers_are_finite(dtype: str) -> None:
    largest = np.finfo(dtype).max if dtype.startswith("float") else 1
    tensor = tensor_of("w", np.full((300, 4), largest, dtype))

    assert sum(piece.size for piece in tensor.chunks()) == 1200
    assert not tensor.not_finite
