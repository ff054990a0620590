from __future__ import annotations

import io
import json
import pickle  # noqa: TID251  makes files that we must refuse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.convert import convert
from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.limits import Limits
from converters.readers import read_checkpoint
from converters.readers.files.torch_archive import read_torch_archive
from parity_tests import FIXTURES
from torch_impl.stored_agents import load_agent

D3RLPY = FIXTURES / "d3rlpy"
CASES = sorted(path.parent.name for path in D3RLPY.glob("*/model.d3"))


def _content(name: str = "dqn") -> dict[str, Any]:
    with (D3RLPY / name / "model.d3").open("rb") as file:
        return pickle.load(file)  # noqa: S301  a fixture with a checksum


def _modules(name: str = "dqn") -> dict[str, Any]:
    return torch.load(io.BytesIO(_content(name)["torch"]), weights_only=True)


def _archive(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _write(path: Path, **changes: object) -> Path:
    path.write_bytes(pickle.dumps({**_content(), **changes}, protocol=4))
    return path


def _with_parameters(**changes: object) -> str:
    config = json.loads(_content()["config"])
    config["config"]["params"] |= changes
    return json.dumps(config)


@pytest.mark.parametrize("name", CASES)
def test_every_tensor_is_read_as_torch_reads_it(name: str) -> None:
    checkpoint = read_checkpoint(D3RLPY / name / "model.d3")

    real = _modules(name)
    found = {(layer.path, key): a for layer in checkpoint.layers for key, a in layer.arrays.items()}
    expected = {
        (module, key): tensor
        for module, state in real.items()
        if "optim" not in state
        for key, tensor in state.items()
    }
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        np.testing.assert_array_equal(found[key].read(), tensor.numpy())
    moments = {array.name: array for array in checkpoint.extras}
    for module, state in real.items():
        for place, slots in state.get("optim", {}).get("state", {}).items():
            for slot, tensor in slots.items():
                np.testing.assert_array_equal(
                    moments[f"{module}.{place}.{slot}"].read(), np.asarray(tensor)
                )


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[3:8:2],
        torch.zeros(0, 3),
        torch.tensor(2.5, dtype=torch.float64),
        torch.tensor([True, False]),
        torch.arange(5, dtype=torch.int64),
        torch.nn.Parameter(torch.ones(2, 2)),
    ],
    ids=["transposed", "strided", "empty", "scalar", "booleans", "integers", "parameter"],
)
def test_windows_of_storages_are_read_as_torch_reads_them(tensor: torch.Tensor) -> None:
    found = read_torch_archive(_archive({"x": [tensor]}))

    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["x"][0], tensor.detach().numpy())
    assert found["x"][0].dtype == tensor.detach().numpy().dtype


def test_nothing_in_a_file_is_called(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    for changes in ({"version": Bomb()}, {"torch": Bomb()}, {"config": Bomb()}):
        path = _write(tmp_path / "bomb.d3", **changes)
        with pytest.raises(ConversionError):
            convert(path, tmp_path / "out.pth")

    assert not (tmp_path / "ran").exists()


def test_objects_in_the_archive_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.d3", torch=_archive({"q_funcs": torch.nn.Linear(2, 2)}))

    with pytest.raises(UnsupportedError, match="holds an object of"):
        read_checkpoint(path)


def test_numbers_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="BFloat16Storage"):
        read_torch_archive(_archive({"x": torch.zeros(2, dtype=torch.bfloat16)}))


def test_an_expanded_tensor_is_not_unfolded() -> None:
    bomb = torch.zeros(1).expand(10**6, 10**6)

    with pytest.raises(UnreadableFileError, match="does not lie in its"):
        read_torch_archive(_archive({"x": bomb}))


def test_overlapping_tensors_are_bounded() -> None:
    square = torch.zeros(500, 500)
    many = [square.t() for _ in range(20)]

    with pytest.raises(UnsafeFileError, match="overlap"):
        read_torch_archive(_archive(many), limits=Limits(max_array_bytes=10_000_000))


def test_compressed_members_are_refused() -> None:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_archive({}))) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))

    with pytest.raises(UnsafeFileError, match="compressed"):
        read_torch_archive(stream.getvalue())


@pytest.mark.parametrize("size", [10, 70, 300, 5_000, 12_000])
def test_a_truncated_file_ends_in_one_clear_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.d3"
    path.write_bytes((D3RLPY / "dqn" / "model.d3").read_bytes()[:size])

    with pytest.raises(ConversionError) as caught:
        convert(path, tmp_path / "out.pth")

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.slow
def test_a_damaged_byte_anywhere_never_ends_in_another_error(tmp_path: Path) -> None:
    whole = (D3RLPY / "dqn" / "model.d3").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.d3"
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            convert(path, tmp_path / "out.pth", force=True)
        except ConversionError:
            continue  # every other exception fails the test


def _renamed(state: dict[str, Any]) -> None:
    state["q_funcs"]["0._fc.other"] = state["q_funcs"].pop("0._fc.weight")


def _smaller(state: dict[str, Any]) -> None:
    del state["targ_q_funcs"]


@pytest.mark.parametrize("damage", [_renamed, _smaller])
def test_missing_tensors_are_listed(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    modules = _modules()
    damage(modules)
    path = _write(tmp_path / "a.d3", torch=_archive(modules))

    with pytest.raises(MismatchError, match=r"do not fit:[\s\S]*is not there|has no last layer"):
        convert(path, tmp_path / "out.pth")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q_func_factory": {"type": "qr", "params": {}}}, "q_func_factory is 'qr'"),
        ({"n_critics": 2}, "2 critics"),
        ({"encoder_factory": {"type": "pixel", "params": {}}}, "is 'pixel'"),
        (
            {"encoder_factory": {"type": "vector", "params": {"activation": "tanh"}}},
            "activation = tanh",
        ),
        (
            {"encoder_factory": {"type": "vector", "params": {"use_batch_norm": True}}},
            "use_batch_norm",
        ),
        ({"observation_scaler": {"type": "pixel", "params": {}}}, "observation_scaler is 'pixel'"),
        ({"observation_scaler": {"type": "standard", "params": {"mean": None}}}, "was it fitted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_agents_here_do_not_have_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = _write(tmp_path / "a.d3", config=_with_parameters(**changes))

    with pytest.raises(ConversionError, match=message):
        convert(path, tmp_path / "out.pth")


def test_other_algorithms_are_refused_with_those_there_are(tmp_path: Path) -> None:
    config = json.loads(_content()["config"])
    config["config"]["type"] = "decision_transformer"

    with pytest.raises(UnsupportedError, match="dqn, double_dqn, discrete_cql") as caught:
        convert(_write(tmp_path / "a.d3", config=json.dumps(config)), tmp_path / "out.pth")

    assert "save_policy" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optim_factory": {"type": "rmsprop", "params": {}}}, "is 'rmsprop', not Adam"),
        (
            {"optim_factory": {"type": "adam", "params": {"clip_grad_norm": 1.0}}},
            "clips gradients",
        ),
    ],
    ids=["rmsprop", "clipping"],
)
def test_an_optimizer_that_is_not_ours_starts_anew_and_is_noted(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = _write(tmp_path / "a.d3", config=_with_parameters(**changes))

    report = convert(path, tmp_path / "out.pth")

    assert any(reason in note and "starts anew" in note for note in report.notes)
    agent: Any = load_agent(tmp_path / "out.pth")
    assert agent.optimizer.state_dict()["state"][0]["step"].item() == 0


def _fold(kind: str, params: dict[str, object]) -> str:
    return _with_parameters(observation_scaler={"type": kind, "params": params})


@pytest.mark.parametrize("kind", ["standard", "min_max"])
def test_the_scaling_of_observations_goes_into_the_first_layer(tmp_path: Path, kind: str) -> None:
    low, high = np.arange(5.0) - 3, np.arange(5.0) * 2 + 4
    params = {
        "standard": {"mean": low.tolist(), "std": high.tolist(), "eps": 1e-3},
        "min_max": {"minimum": low.tolist(), "maximum": high.tolist()},
    }[kind]
    path = _write(tmp_path / "a.d3", config=_fold(kind, params))
    rows = np.random.default_rng(0).normal(size=(7, 5))
    # As d3rlpy 2.8.1 transforms them (preprocessing/observation_scalers.py).
    scaled = (
        (rows - low) / (high + 1e-3)
        if kind == "standard"
        else (rows - low) / (high - low) * 2.0 - 1.0
    )

    report = convert(path, tmp_path / "scaled.pth")
    convert(D3RLPY / "dqn" / "model.d3", tmp_path / "plain.pth")

    with_it: Any = load_agent(tmp_path / "scaled.pth")
    without: Any = load_agent(tmp_path / "plain.pth")
    np.testing.assert_allclose(
        with_it.get_q_values(rows.astype(np.float32)),
        without.get_q_values(scaled.astype(np.float32)),
        rtol=1e-5,
        atol=1e-6,
    )
    assert any("takes observations as they are" in note for note in report.notes)


def test_scaled_actions_are_scaled_back(tmp_path: Path) -> None:
    content = _content("td3_plus_bc")
    config = json.loads(content["config"])
    low, high = [-2.0, 0.0, 1.0], [2.0, 10.0, 3.0]
    params = {"minimum": low, "maximum": high}
    config["config"]["params"]["action_scaler"] = {"type": "min_max", "params": params}
    path = tmp_path / "a.d3"
    path.write_bytes(pickle.dumps({**content, "config": json.dumps(config)}, protocol=4))

    convert(path, tmp_path / "out.pth")

    agent: Any = load_agent(tmp_path / "out.pth")
    with np.load(D3RLPY / "td3_plus_bc" / "expected.npz") as expected:
        unit = expected["predict"]
        found = agent.predict(expected["observation"])
    # As MinMaxActionScaler does it.
    wanted = (unit + 1) / 2 * (np.array(high) - low) + low
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_stochastic_policy_is_cloned_with_its_deviation(tmp_path: Path) -> None:
    content = _content("bc")
    modules = torch.load(io.BytesIO(content["torch"]), weights_only=True)
    state = modules["imitator"]
    for role in ("weight", "bias"):
        state[f"_mu.{role}"] = state.pop(f"_fc.{role}")
        state[f"_logstd.{role}"] = torch.zeros_like(state[f"_mu.{role}"])
    config = json.loads(content["config"])
    config["config"]["params"]["policy_type"] = "stochastic"
    path = tmp_path / "a.d3"
    changed = {**content, "torch": _archive(modules), "config": json.dumps(config)}
    path.write_bytes(pickle.dumps(changed, protocol=4))

    convert(path, tmp_path / "out.pth")

    agent: Any = load_agent(tmp_path / "out.pth")
    assert agent.settings["policy"] == "stochastic"
    with np.load(D3RLPY / "bc" / "expected.npz") as expected:
        np.testing.assert_allclose(
            agent.predict(expected["observation"]), expected["predict"], rtol=0, atol=1e-6
        )
