"""Tensor bundles of the fixtures, damaged ones, and all that TensorFlow can put into one."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.errors import UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers import read_checkpoint
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import Bundle, read_bundle, slice_key
from converters.readers.tensorflow.crc32c import masked_crc32c
from converters.readers.tensorflow.keras_objects import Objects, find_root
from converters.readers.tensorflow.object_graph import KEY, Node, parse_object_graph
from converters.readers.tensorflow.table import MAGIC
from parity_tests import FIXTURES

INDEXES = sorted(FIXTURES.rglob("*.index"))
SMALL = FIXTURES / "k315_lstm_policy" / "ckpt_object.index"


def read(index: Path, limits: Limits | None = None) -> Bundle:
    source = Source(index.with_suffix(""), index)
    return read_bundle(source, source.file, index.stem, limits or Limits())


def copied(folder: Path, index: Path = SMALL) -> Path:
    for file in index.parent.glob(f"{index.stem}.*"):
        shutil.copy(file, folder / file.name)
    return folder / index.name


@pytest.mark.parametrize("index", INDEXES, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_recorded_bundles_are_whole(index: Path) -> None:
    bundle = read(index)

    assert bundle.arrays
    for array in bundle.arrays.values():
        assert array.read().shape == array.shape  # compares the checksum on the way
    stored = bundle.texts[KEY]() if KEY in bundle.texts else []  # TensorFlow 1 has no objects
    nodes = [node for text in stored for node in parse_object_graph(text, Limits())]
    assert {node.key for node in nodes if node.key} <= set(bundle.arrays)


@pytest.mark.tf
@pytest.mark.parametrize("index", INDEXES, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_recorded_bundles_are_what_tensorflow_reads(index: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    expected = tensorflow.train.load_checkpoint(str(index.with_suffix("")))

    bundle = read(index)

    assert {*bundle.arrays, *bundle.texts} == set(expected.get_variable_to_shape_map())
    for name, array in bundle.arrays.items():
        np.testing.assert_array_equal(array.read(), expected.get_tensor(name))


@pytest.mark.tf
def test_every_type_and_partitioned_variables_are_read(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    generator = np.random.default_rng(0)
    names = "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128"
    with tensorflow.Graph().as_default():
        tensorflow.compat.v1.set_random_seed(0)
        expected = {}
        for name in names.split():
            dtype = tensorflow.dtypes.as_dtype(name)
            values = tensorflow.cast(tensorflow.constant(generator.integers(0, 2, (3, 5))), dtype)
            expected[name] = tensorflow.compat.v1.get_variable(
                name, initializer=values, use_resource=True
            )
        expected["empty"] = tensorflow.compat.v1.get_variable("empty", initializer=np.zeros((0, 4)))
        split = tensorflow.compat.v1.fixed_size_partitioner(3, axis=0)
        wide = tensorflow.compat.v1.get_variable("wide", (200, 7), partitioner=split)
        whole = tensorflow.convert_to_tensor(wide)
        with tensorflow.compat.v1.Session() as session:
            session.run(tensorflow.compat.v1.global_variables_initializer())
            saver = tensorflow.compat.v1.train.Saver([*expected.values(), wide])
            saver.save(session, str(tmp_path / "model"), write_meta_graph=False)
            values, stored = session.run([expected, whole])

    bundle = read(tmp_path / "model.index")

    assert set(bundle.arrays) == {*expected, "wide"}
    for name, value in values.items():
        np.testing.assert_array_equal(
            bundle.arrays[name].read(), value.astype(bundle.arrays[name].dtype)
        )
    np.testing.assert_array_equal(bundle.arrays["wide"].read(), stored)


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        # What TensorFlow's EncodeTensorNameSlice gives for these.
        (((0, 63), (0, 7)), b"\x00w\x00\x01\x01\x02\x80\xbf\x80\x87"),
        (((64, 200), (0, -1)), b"\x00w\x00\x01\x01\x02\xc0\x40\xc0\xc8\x80\x7f"),
    ],
)
def test_keys_of_slices_sort_as_their_numbers(
    piece: tuple[tuple[int, int], ...], expected: bytes
) -> None:
    assert slice_key("w", piece) == expected


def test_flipped_bit_in_the_data_is_found_when_the_tensor_is_read(tmp_path: Path) -> None:
    index = copied(tmp_path)
    data = index.with_name("ckpt_object.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)

    bundle = read(index)

    failed = [name for name, array in bundle.arrays.items() if not is_sound(array)]
    assert len(failed) == 1


def is_sound(array: ArrayInfo) -> bool:
    try:
        array.read()
    except UnreadableFileError as error:
        return "does not have its checksum" not in str(error)
    return True


@pytest.mark.parametrize("place", range(0, 1500, 37))
def test_flipped_bits_in_the_index_are_found(tmp_path: Path, place: int) -> None:
    index = copied(tmp_path)
    content = bytearray(index.read_bytes())
    footer = len(content) - 48
    content[place % footer] ^= 0x10
    index.write_bytes(content)

    with contextlib.suppress(UnreadableFileError):
        # Bits of the metaindex block, which nothing needs, may differ.
        assert set(read(index).arrays) == set(read(SMALL).arrays)


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_truncated_data_is_said_before_anything_is_read(tmp_path: Path, keep: float) -> None:
    index = copied(tmp_path)
    data = index.with_name("ckpt_object.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[: int(data.stat().st_size * keep)])

    with pytest.raises(UnreadableFileError, match=r"should lie in shard 0 up to byte"):
        read(index)


def test_missing_and_linked_shards_are_refused(tmp_path: Path) -> None:
    index = copied(tmp_path)
    data = index.with_name("ckpt_object.data-00000-of-00001")
    data.rename(tmp_path / "elsewhere")

    with pytest.raises(UnreadableFileError, match="there is no such file"):
        read(index)
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="links are not followed"):
        read(index)


def test_tensor_beyond_the_limit_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match="larger than the limit of 100 bytes"):
        read(SMALL, Limits(max_array_bytes=100))


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def part(number: int, value: int | bytes) -> bytes:
    """Return a field of a message."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def written(folder: Path, entries: dict[bytes, bytes], data: bytes) -> Path:
    """Write a checkpoint as the format says it: one block of entries, and one that names it."""
    content = b""
    handles: list[bytes] = []
    for keys in ({b"": part(1, 1), **entries}, None):
        pairs = {b"z": handles[0]} if keys is None else keys
        block = b"".join(
            b"\0" + varint(len(key)) + varint(len(value)) + key + value
            for key, value in sorted(pairs.items())
        )
        block += bytes(4) + (1).to_bytes(4, "little")
        handles.append(varint(len(content)) + varint(len(block)))
        content += block + b"\0" + masked_crc32c(block + b"\0").to_bytes(4, "little")
        last = varint(0) + varint(0) + handles[-1]
    index = content + last.ljust(40, b"\0") + MAGIC
    (folder / "c.index").write_bytes(index)
    (folder / "c.data-00000-of-00001").write_bytes(data)
    return folder / "c.index"


def entry(data: bytes, *, checksum: bool = True) -> bytes:
    """Return the entry of a vector of float32 that lies at the start of the data."""
    sizes = part(2, part(2, part(1, len(data) // 4)))
    crc = varint(6 << 3 | 5) + masked_crc32c(data).to_bytes(4, "little") if checksum else b""
    return part(1, 1) + sizes + part(5, len(data)) + crc


DATA = np.arange(8, dtype="<f4").tobytes()


def test_bundle_written_by_hand_is_read(tmp_path: Path) -> None:
    bundle = read(written(tmp_path, {b"w": entry(DATA)}, DATA))

    assert bundle.arrays["w"].read().tolist() == list(range(8))


def test_tensor_without_a_checksum_does_not_have_its_checksum(tmp_path: Path) -> None:
    bundle = read(written(tmp_path, {b"w": entry(DATA, checksum=False)}, DATA))

    with pytest.raises(UnreadableFileError, match="'w' does not have its checksum"):
        bundle.arrays["w"].read()


def test_tensors_that_share_bytes_are_refused(tmp_path: Path) -> None:
    index = written(tmp_path, {b"v": entry(DATA), b"w": entry(DATA)}, DATA)

    with pytest.raises(UnsafeFileError, match="claim 64 bytes of shard 0, which has 32"):
        read(index)


def test_object_graph_of_no_text_is_refused(tmp_path: Path) -> None:
    empty = part(1, 7) + part(2, part(2, part(1, 0))) + part(5, 4)
    crc = varint(6 << 3 | 5) + masked_crc32c(bytes(4)).to_bytes(4, "little")
    index = written(tmp_path, {KEY.encode(): empty + crc}, bytes(4))

    with pytest.raises(UnreadableFileError, match="the object graph has 0 objects"):
        read_checkpoint(index)


@pytest.mark.parametrize("name", ["9" * 5000, "layer-" + "9" * 5000])
def test_attributes_of_thousands_of_digits_are_names(name: str) -> None:
    nodes = [Node({name: 1, "0": 1}), Node()]

    assert nodes[0].items() == [1]
    assert find_root(Objects(nodes, {})) == 0
