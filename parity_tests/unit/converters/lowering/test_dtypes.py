"""Precision by layer: policies as Keras 2 and 3 store them, casts where it changes, and the same in emitted source."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import UnreadableFileError
from converters.graph import Layer
from converters.lowering.dtypes import policy_name, variable_dtype


@pytest.mark.parametrize(
    ("stored", "policy", "dtype"),
    [
        ("float64", "float64", "float64"),
        ({"class_name": "DTypePolicy", "config": {"name": "bfloat16"}}, "bfloat16", "float32"),
        ({"class_name": "Policy", "config": {"name": "mixed_float16"}}, "mixed_float16", "float32"),
        (
            {"class_name": "Q", "config": {"name": "int8_from_mixed_bfloat16"}},
            "mixed_bfloat16",
            "float32",
        ),
        ("int64", "int64", None),
        ({"class_name": "DTypePolicy", "config": {"name": ["float64"]}}, "", None),
        (None, "", None),
    ],
)
def test_policy_says_what_weights_are_stored_in(
    stored: object, policy: str, dtype: str | None
) -> None:
    layer = Layer("a", "Dense", {"dtype": stored})
    assert (policy_name(layer), variable_dtype(layer)) == (policy, dtype)


def two_layers(configs: Any, first: str, second: str) -> tuple[dict[str, Any], dict[str, Any]]:
    draws = np.random.default_rng(2)
    model = configs.sequential(
        configs.dense("a", 3, dtype=first), configs.dense("b", 2, dtype=second), shape=(None, 4)
    )
    arrays = {
        name: {
            "kernel": draws.normal(size=shape).astype(dtype.removeprefix("mixed_")),
            "bias": draws.normal(size=shape[1]).astype(dtype.removeprefix("mixed_")),
        }
        for name, shape, dtype in (("a", (4, 3), first), ("b", (3, 2), second))
    }
    return model, arrays


@pytest.mark.parametrize(
    ("first", "second"), [("float32", "float64"), ("float64", "float32"), ("float64", "float16")]
)
def test_values_are_cast_between_layers_of_other_precision(
    first: str, second: str, write_model: Any, configs: Any, tmp_path: Path
) -> None:
    model, arrays = two_layers(configs, first, second)
    source = write_model(model, arrays)
    report = torchward.convert(source, tmp_path / "m.pth", source_code=tmp_path / "m.py")
    x = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
    hidden = x.astype(first) @ arrays["a"]["kernel"] + arrays["a"]["bias"]
    wanted = hidden.astype(second) @ arrays["b"]["kernel"] + arrays["b"]["bias"]

    live = torchward.load(tmp_path / "m.pth")
    emitted: Any = runpy.run_path(str(tmp_path / "m.py"))["Network"]()
    emitted.load_state_dict(torch.load(tmp_path / "m.pth", weights_only=True)["model_state_dict"])
    for module in (live, emitted):
        with torch.no_grad():
            found = module(torch.from_numpy(x))
        assert str(found.dtype) == f"torch.{second}"
        limit = 1e-2 if second == "float16" else 1e-6
        np.testing.assert_allclose(found.numpy(), wanted, rtol=limit, atol=limit)
    assert any("layers differ in precision" in note for note in report.notes)
    assert {p.dtype for p in emitted.a.parameters()} == {getattr(torch, first)}


def test_layers_of_one_precision_are_not_cast(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    report = torchward.convert(
        write_model(*two_layers(configs, "float64", "float64")),
        tmp_path / "m.pth",
        source_code=tmp_path / "m.py",
    )
    assert report.notes == ()
    assert "cast" not in (tmp_path / "m.py").read_text()


def test_precision_that_is_none_is_refused(write_model: Any, configs: Any, tmp_path: Path) -> None:
    torchward.convert(write_model(*two_layers(configs, "float32", "float64")), tmp_path / "m.pth")
    stored = torch.load(tmp_path / "m.pth", weights_only=True)
    stored["architecture"]["steps"][-1]["dtype"] = "float8"
    torch.save(stored, tmp_path / "bad.pth")
    with pytest.raises(UnreadableFileError, match="float8"):
        torchward.load(tmp_path / "bad.pth")
