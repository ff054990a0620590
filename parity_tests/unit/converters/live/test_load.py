"""What `torchward.load` and `build_model` do with files that were edited: one clear error, nothing allocated."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import torchward
from converters.architecture import Architecture, InputValue, Step
from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsupportedError,
)
from converters.live.build import build_model
from converters.live.load import StockOptimizerWarning
from parity_tests import FIXTURES

MEMORY_BOUND = 200 * 1024**2  # bytes; a single claimed size below would take terabytes


@pytest.fixture
def stored(small_model: Path, tmp_path: Path) -> dict[str, Any]:
    torchward.convert(small_model, tmp_path / "good.pth")
    whole: dict[str, Any] = torch.load(tmp_path / "good.pth", weights_only=True)
    return whole


def unknown_operation(steps: list[Any]) -> None:
    steps[0]["op"] = "os.system"


def path_as_operation(steps: list[Any]) -> None:
    steps[0]["op"] = "torch.nn:Linear"


def unknown_argument(steps: list[Any]) -> None:
    steps[0]["kwargs"]["device"] = "cuda"


def missing_argument(steps: list[Any]) -> None:
    del steps[0]["kwargs"]["in_features"]


def text_as_size(steps: list[Any]) -> None:
    steps[0]["kwargs"]["in_features"] = "4"


def negative_size(steps: list[Any]) -> None:
    steps[0]["kwargs"]["in_features"] = -4


def huge_size(steps: list[Any]) -> None:
    steps[0]["kwargs"].update(in_features=2**20, out_features=2**22)


def larger_than_any_size(steps: list[Any]) -> None:
    steps[0]["kwargs"].update(in_features=2**70)


def wrong_size(steps: list[Any]) -> None:
    steps[0]["kwargs"]["out_features"] = 5


def dunder_attribute(steps: list[Any]) -> None:
    steps[0]["attribute"] = "__class__"


def inside_of_a_layer(steps: list[Any]) -> None:
    steps.append({**steps[0], "output": "again", "attribute": f"{steps[0]['attribute']}.inner"})


def block_with_a_modules_name(steps: list[Any]) -> None:
    steps[0]["attribute"] = "training.inner"


def thousand_blocks(steps: list[Any]) -> None:
    steps[0]["attribute"] = ".".join(["a"] * 1000)


def block_without_call(steps: list[Any]) -> None:
    steps[0]["blocks"] = [["a", "b"]]


def module_attribute(steps: list[Any]) -> None:
    steps[0]["attribute"] = "forward"


def statement_as_attribute(steps: list[Any]) -> None:
    steps[0]["attribute"] = "a = 1; b"


def no_attribute(steps: list[Any]) -> None:
    steps[0]["attribute"] = None


def attribute_of_a_function(steps: list[Any]) -> None:
    steps[1]["attribute"] = "hidden"


def other_state(steps: list[Any]) -> None:
    steps[0]["state"] = ["weight"]


def unknown_value(steps: list[Any]) -> None:
    steps[1]["inputs"] = ["nowhere"]


def steps_out_of_order(steps: list[Any]) -> None:
    steps.reverse()


def number_as_inputs(steps: list[Any]) -> None:
    steps[0]["inputs"] = 3


def no_operation(steps: list[Any]) -> None:
    del steps[0]["op"]


def tensor_as_argument(steps: list[Any]) -> None:
    steps[0]["kwargs"]["in_features"] = torch.zeros(2)


HOSTILE = [
    unknown_operation,
    path_as_operation,
    unknown_argument,
    missing_argument,
    text_as_size,
    negative_size,
    huge_size,
    larger_than_any_size,
    wrong_size,
    dunder_attribute,
    module_attribute,
    inside_of_a_layer,
    block_with_a_modules_name,
    thousand_blocks,
    block_without_call,
    statement_as_attribute,
    no_attribute,
    attribute_of_a_function,
    other_state,
    unknown_value,
    steps_out_of_order,
    number_as_inputs,
    no_operation,
    tensor_as_argument,
]


@pytest.mark.parametrize("edit", HOSTILE, ids=lambda edit: edit.__name__)
def test_edited_steps_are_refused_and_allocate_nothing(
    edit: Callable[[list[Any]], None], stored: dict[str, Any], tmp_path: Path
) -> None:
    edit(stored["architecture"]["steps"])
    torch.save(stored, tmp_path / "edited.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises((UnreadableFileError, MismatchError)) as caught:
        torchward.load(tmp_path / "edited.pth")

    assert str(caught.value)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < MEMORY_BOUND


def no_steps(data: dict[str, Any]) -> None:
    del data["steps"]


def text_as_architecture(data: dict[str, Any]) -> None:
    data["steps"] = "steps"


def unknown_dtype(data: dict[str, Any]) -> None:
    data["inputs"][0][2] = "load"


def unknown_output(data: dict[str, Any]) -> None:
    data["outputs"] = ["nowhere"]


def no_outputs(data: dict[str, Any]) -> None:
    data["outputs"] = []


def unknown_structure(data: dict[str, Any]) -> None:
    data["structure"] = "set"


def names_missing(data: dict[str, Any]) -> None:
    data["structure"] = "dict"


def code_as_name(data: dict[str, Any]) -> None:
    data["name"] = "A(object): pass #"


def shape_of_texts(data: dict[str, Any]) -> None:
    data["inputs"][0][1] = 3


def same_input_twice(data: dict[str, Any]) -> None:
    data["inputs"].append(list(data["inputs"][0]))


@pytest.mark.parametrize(
    "edit",
    [
        no_steps,
        text_as_architecture,
        unknown_dtype,
        unknown_output,
        no_outputs,
        unknown_structure,
        names_missing,
        code_as_name,
        shape_of_texts,
        same_input_twice,
    ],
    ids=lambda edit: edit.__name__,
)
def test_edited_architecture_is_refused(
    edit: Callable[[dict[str, Any]], None], stored: dict[str, Any], tmp_path: Path
) -> None:
    edit(stored["architecture"])
    torch.save(stored, tmp_path / "edited.pth")

    with pytest.raises((UnreadableFileError, MismatchError)):
        torchward.load(tmp_path / "edited.pth")


@pytest.mark.parametrize(
    ("metadata", "tensor", "message"),
    [
        ({"architecture": "[]"}, "w", "its architecture is a list"),
        ({"optimizer_group": "3"}, "w", "its optimizer_group is a int"),
        ({"optimizer_group": "{}"}, "w", "KeyError"),
        ({"optimizer_group": "{}", "metadata": '{"optimizer": []}'}, "w", "TypeError"),
        ({"optimizer_group": "{}"}, "optimizer/first/exp_avg", "ValueError"),
        ({"optimizer_group": "{}"}, "optimizer/0", "ValueError"),
    ],
)
def test_safetensors_with_other_metadata_are_refused(
    metadata: dict[str, str], tensor: str, message: str, tmp_path: Path
) -> None:
    stored = {f"torchward_{key}": text for key, text in metadata.items()}
    save_file({tensor: torch.zeros(2)}, tmp_path / "edited.safetensors", metadata=stored)

    with pytest.raises(UnreadableFileError, match=message):
        torchward.load(tmp_path / "edited.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [("missing", "Missing key"), ("extra", "Unexpected key"), ("transposed", "size mismatch")],
)
def test_state_that_does_not_fit_is_named(
    change: str, message: str, stored: dict[str, Any], tmp_path: Path
) -> None:
    state = stored["model_state_dict"]
    if change == "missing":
        del state["hidden.bias"]
    elif change == "extra":
        state["other.weight"] = torch.zeros(2)
    else:
        state["hidden.weight"] = state["hidden.weight"].T.contiguous()
    torch.save(stored, tmp_path / "edited.pth")

    with pytest.raises(MismatchError, match=message):
        torchward.load(tmp_path / "edited.pth")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"hello", b"\x08\0\0\0\0\0\0\0{}      ", bytes(64), b"\x89HDF\r\n\x1a\n"],
    ids=["empty", "zip", "text", "empty safetensors", "zeros", "hdf5"],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)

    with pytest.raises(UnreadableFileError, match=r"other\.pth"):
        torchward.load(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"nowhere\.pth: cannot be read"):
        torchward.load(tmp_path / "nowhere.pth")


def test_truncated_file_is_refused(small_model: Path, tmp_path: Path) -> None:
    for format in ("pth", "safetensors"):
        path = tmp_path / f"cut.{format}"
        torchward.convert(small_model, path, format=format)
        path.write_bytes(path.read_bytes()[:-20])

        with pytest.raises(UnreadableFileError, match=rf"cut\.{format}"):
            torchward.load(path)


def test_state_dict_of_another_program_is_not_guessed_at(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "foreign.pth")

    with pytest.raises(UnreadableFileError, match="not written by torchward convert"):
        torchward.load(tmp_path / "foreign.pth")


def test_optimizer_of_a_file_without_one_is_refused(small_model: Path, tmp_path: Path) -> None:
    torchward.convert(small_model, tmp_path / "m.pth")

    with pytest.raises(UnsupportedError, match="no optimizer state") as caught:
        torchward.load(tmp_path / "m.pth", optimizer=True)

    assert caught.value.exit_code == 4


FIXTURE = FIXTURES / "k315_opt_sgd_momentum" / "model.keras"


@pytest.mark.parametrize("change", ["class", "slot", "group", "extra state"])
def test_edited_optimizer_is_refused(change: str, tmp_path: Path) -> None:
    torchward.convert(FIXTURE, tmp_path / "m.pth")
    stored = torch.load(tmp_path / "m.pth", weights_only=True)
    state = stored["optimizer_state_dict"]
    if change == "class":
        stored["metadata"]["optimizer"]["class"] = "keras_compat.__class__"
    elif change == "slot":
        state["state"][0] = {"momentum_buffer": torch.zeros(2, 2)}
    elif change == "group":
        state["param_groups"][0]["params"] = [0]
    else:
        state["state"] = "state"
    torch.save(stored, tmp_path / "m.pth")

    with pytest.raises(ConversionError):
        torchward.load(tmp_path / "m.pth", optimizer=True)


def architecture(
    *steps: Step, structure: str = "single", outputs: tuple[str, ...] = ("y",)
) -> Architecture:
    return Architecture(
        "Network",
        (InputValue("x", (None, 4), "float32"),),
        outputs,
        steps,
        structure,
        tuple(outputs) if structure == "dict" else (),
    )


@pytest.mark.parametrize(
    ("structure", "kind"), [("single", torch.Tensor), ("list", tuple), ("dict", dict)]
)
def test_outputs_come_in_the_structure_of_the_legacy_model(structure: str, kind: type) -> None:
    model = build_model(architecture(Step("F.relu", ("x",), "y"), structure=structure), {})

    assert isinstance(model(torch.zeros(2, 4)), kind)


def test_inputs_of_another_precision_are_cast_as_keras_does() -> None:
    model = build_model(architecture(Step("F.relu", ("x",), "y")), {})

    for array in (np.ones((2, 4), np.float64), np.ones((2, 4), np.int64)):
        result: Any = model(torch.from_numpy(array))
        assert result.dtype == torch.float32


def test_wrong_number_of_inputs_is_named() -> None:
    model = build_model(architecture(Step("F.relu", ("x",), "y")), {})

    with pytest.raises(TypeError, match=r"Network takes 1 inputs \(x\), got 2"):
        model(torch.zeros(2, 4), torch.zeros(2, 4))


def test_loaded_model_is_its_own_and_in_evaluation_mode(small_model: Path, tmp_path: Path) -> None:
    torchward.convert(small_model, tmp_path / "m.pth")
    model = torchward.load(tmp_path / "m.pth")
    before = torchward.load(tmp_path / "m.pth")

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)

    assert not model.training
    assert all(
        parameter.is_contiguous() and parameter.requires_grad for parameter in model.parameters()
    )
    after = torchward.load(tmp_path / "m.pth").state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.state_dict().items())


def test_stock_optimizer_has_the_state_and_says_what_changes(tmp_path: Path) -> None:
    torchward.convert(FIXTURES / "k315_dqn_seed" / "model.keras", tmp_path / "a.pth")
    _, own = torchward.load(tmp_path / "a.pth", optimizer=True)
    with pytest.warns(StockOptimizerWarning, match="epsilon is added after the bias correction"):
        model, stock = torchward.load(tmp_path / "a.pth", optimizer="torch.optim")
    assert type(stock) is torch.optim.Adam
    [first, *_] = model.parameters()
    [legacy, *_] = own.param_groups[0]["params"]
    assert torch.equal(stock.state[first]["exp_avg"], own.state[legacy]["exp_avg"])
    assert stock.state[first]["step"] == own.param_groups[0]["iterations"]


def test_optimizer_is_asked_for_by_one_of_two_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'adam', not False, True or 'torch\.optim'"):
        torchward.load(tmp_path / "a.pth", optimizer="adam")  # type: ignore[call-overload]


def test_a_whole_agent_names_the_function_that_loads_it(tmp_path: Path) -> None:
    source = FIXTURES / "d3rlpy" / "discrete_cql" / "model.d3"
    torchward.convert(source, tmp_path / "agent.pth")

    with pytest.raises(UnreadableFileError, match="is a whole agent of torch_impl") as caught:
        torchward.load(tmp_path / "agent.pth")

    assert caught.value.hint is not None
    assert "load_agent(" in caught.value.hint
