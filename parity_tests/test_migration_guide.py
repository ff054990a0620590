"""The pages of the documentation do what they show: every code block of theirs is run.

How blocks are marked is in `parity_tests/unit/docs/pages.py`. What the guide says about the two columns, that they compute
the same, is shown here with the very names that its blocks define.
"""

from __future__ import annotations

import ast
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import DOCS, read_blocks, run_page

GUIDE, TURKISH_GUIDE = DOCS / "migration-guide.md", DOCS / "gecis-rehberi.md"
PAGES = sorted(
    path for path in DOCS.glob("*.md") if any(b.language == "python" for b in read_blocks(path))
)
FIXTURE = FIXTURES / "tf215_dqn_seed"
ELSEWHERE = ("deployment.md", "offline-rl.md", "own-module.md", "rl-libraries.md", "way-back.md")
"""Pages that need other files, or long: parity_tests/unit/docs runs them."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working folder with the file of TensorFlow 2.15 that the pages call agent.h5, and its recorded outputs."""
    shutil.copy(FIXTURE / "model.h5", tmp_path / "agent.h5")
    shutil.copy(FIXTURE / "expected.npz", tmp_path / "expected.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name not in ELSEWHERE], ids=lambda p: p.name
)
def test_every_block_of_the_page_does_what_the_page_shows(page: Path, folder: Path) -> None:
    run_page(page)


@pytest.mark.tf
@pytest.mark.parametrize("page", [GUIDE], ids=lambda page: page.name)
def test_every_tensorflow_block_of_the_page_does_what_the_page_shows(
    page: Path, folder: Path
) -> None:
    pytest.importorskip("tensorflow")

    run_page(page, legacy=True)


def test_pages_with_code_are_found() -> None:
    assert {GUIDE, TURKISH_GUIDE} <= set(PAGES)


def test_both_languages_show_the_same_code() -> None:
    def code(page: Path) -> list[tuple[str, tuple[str, ...], str]]:
        # Comments may differ: they are in the language of the page. So do texts of the shell.
        return [
            (b.language, b.words, ast.dump(ast.parse(b.text)) if b.language == "python" else b.text)
            for b in read_blocks(page)
        ]

    assert code(TURKISH_GUIDE) == code(GUIDE)


def column(*, legacy: bool) -> dict[str, Any]:
    return run_page(GUIDE, legacy=legacy)


def fit_without_dropout(model: Any, x: Any, y: Any) -> float:
    """Return the loss that `fit` reports of one step with dropout off."""
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    model.compile(optimizer="adam", loss="mse")  # or it keeps the step that it has traced
    history = model.fit(x, y, batch_size=32, epochs=1, shuffle=False, verbose=0)
    return float(history.history["loss"][0])


@pytest.mark.tf
def test_both_columns_of_the_guide_compute_the_same(folder: Path) -> None:
    pytest.importorskip("tensorflow")
    import torch

    legacy, rewritten = column(legacy=True), column(legacy=False)
    keras_model = legacy["model"]
    network = rewritten["DQNetwork"]().eval()
    with torch.no_grad():
        for parameter, array in zip(network.parameters(), keras_model.get_weights(), strict=True):
            parameter.copy_(torch.from_numpy(np.array(array.T)))
    states = np.random.default_rng(1).normal(size=(1_000, 12)).astype("float32")

    with torch.no_grad():
        values = network(torch.from_numpy(states)).numpy()
        loss = rewritten["criterion"](network(rewritten["X"]), rewritten["y"]).item()
    expected = keras_model.predict(states, verbose=0)
    fitted = fit_without_dropout(keras_model, legacy["X"], legacy["y"])

    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(values.argmax(axis=1), expected.argmax(axis=1))
    assert loss == pytest.approx(fitted, rel=1e-6)


@pytest.mark.tf
def test_weights_behind_a_flatten_follow_the_order_of_the_guide(folder: Path) -> None:
    pytest.importorskip("tensorflow")
    import keras
    import torch
    import torch.nn.functional as F

    names = column(legacy=False)
    convolution = keras.layers.Conv2D(3, (2, 3))
    dense = keras.layers.Dense(4)
    keras_model = keras.Sequential(
        [keras.Input((7, 5, 2)), convolution, keras.layers.Flatten(), dense]
    )
    images = np.random.default_rng(0).normal(size=(6, 7, 5, 2)).astype("float32")
    kernels = [np.array(layer.get_weights()[0]) for layer in (convolution, dense)]
    conv = torch.from_numpy(names["conv_weight"](kernels[0]).copy())
    linear = torch.from_numpy(names["dense_weight_after_flatten"](kernels[1], 6, 3, 3).copy())
    swapped = torch.from_numpy(kernels[1].T.copy())

    features = F.conv2d(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), conv).flatten(1)
    expected = keras_model(images).numpy()

    np.testing.assert_allclose((features @ linear.T).numpy(), expected, rtol=0, atol=1e-5)
    assert np.abs((features @ swapped.T).numpy() - expected).max() > 0.1


@pytest.mark.slow
def test_two_devices_in_one_layer_are_an_error_and_one_device_is_none() -> None:
    import torch
    from torch import nn

    layer, state = nn.Linear(12, 5), torch.zeros(1, 12, device="meta")

    with pytest.raises(RuntimeError, match="is not on the expected device"):
        layer(state)
    assert layer.to("meta")(state).device.type == "meta"


def test_a_second_backward_is_an_error_unless_the_graph_is_kept_or_built_again() -> None:
    import torch

    def build(weight: torch.Tensor) -> torch.Tensor:
        return (weight**2).sum()

    weight = torch.tensor([3.0], requires_grad=True)
    loss = build(weight)
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()

    kept, again = (torch.tensor([3.0], requires_grad=True) for _ in range(2))
    loss = build(kept)
    loss.backward(retain_graph=True)
    loss.backward()
    for _ in range(2):
        build(again).backward()

    assert kept.grad is not None
    assert again.grad is not None
    assert kept.grad.item() == again.grad.item() == 12


def test_a_target_from_an_earlier_graph_is_cut_off_by_detach_and_by_no_grad() -> None:
    import torch

    target_weight = torch.tensor(2.0, requires_grad=True)
    with torch.no_grad():
        without_graph = target_weight**2
    for target, fails in (
        (target_weight**2, True),
        ((target_weight**2).detach(), False),
        (without_graph, False),
    ):
        weight = torch.tensor(1.0, requires_grad=True)
        ((weight - target) ** 2).backward()
        if fails:
            with pytest.raises(RuntimeError, match="a second time"):
                ((weight - target) ** 2).backward()
        else:
            ((weight - target) ** 2).backward()
            assert weight.grad is not None
            assert weight.grad.item() == 2 * 2 * (1 - 4)


def test_gradients_are_2_then_4_then_2_again_after_zero_grad() -> None:
    import torch

    weight = torch.tensor(5.0, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    seen = []
    for clears in (False, False, True):
        if clears:
            optimizer.zero_grad()
        (2 * weight).backward()
        assert weight.grad is not None
        seen.append(weight.grad.item())

    assert seen == [2, 4, 2]


def test_torch_itself_calls_torchscript_deprecated() -> None:
    """The comparison table says so; when torch no longer warns, the table has to change."""
    import torch
    from torch import nn

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.jit.trace(nn.Linear(2, 3), (torch.zeros(1, 2),))

    said = [str(w.message) for w in caught if w.category is DeprecationWarning]
    assert any("torch.jit.trace` is deprecated" in text and "torch.export" in text for text in said)
