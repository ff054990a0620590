"""int8 weights, a student and a mean of networks say nearly what the networks they come from say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experience.ur_inference import UrInference
from torch_impl.ur import UrTrainer
from torch_impl.ur_variants import Ensemble, TorchScore, distill, load_networks, quantize


def networks(seed: int = 0) -> UrInference:
    trainer = UrTrainer(hidden_sizes=(24, 12), device="cpu", seed=seed)
    weights = trainer.get_weights()
    # As drawn, the outputs hardly depend on the position.
    return UrInference.from_weights({name: 3 * array for name, array in weights.items()})


def features(count: int = 200) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-1, 1, size=(count, 150)).astype(np.float32)


def test_networks_of_torch_compute_what_numpy_does() -> None:
    inference = networks()

    value, policy = TorchScore(load_networks(inference))(features())

    expected = inference(features())
    np.testing.assert_allclose(value, expected[0], atol=1e-6)
    np.testing.assert_allclose(policy, expected[1], atol=1e-6)


@pytest.mark.skipif(
    torch.backends.quantized.engine == "none", reason="this torch has no int8 kernels"
)
def test_int8_weights_are_small_and_near() -> None:
    inference = networks()
    plain = TorchScore(load_networks(inference))
    small = TorchScore(quantize(load_networks(inference)))

    value, policy = small(features())

    assert small.count_bytes() < 0.6 * plain.count_bytes()
    difference = np.abs(value - inference(features())[0]).max()
    assert 0 < difference < 0.1
    np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-5)


def test_mean_is_that_of_all_members() -> None:
    members = [networks(seed) for seed in range(3)]

    value, policy = Ensemble(members)(features())

    np.testing.assert_allclose(value, sum(m(features())[0] for m in members) / 3, rtol=1e-6)
    np.testing.assert_allclose(policy.sum(axis=1), 1.0, rtol=1e-5)


def test_ensemble_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one member"):
        Ensemble([])


@pytest.mark.slow
def test_student_learns_what_its_teacher_says() -> None:
    teacher, rows = networks(), features(2_000)
    new = features(200) * np.float32(0.9)

    student = TorchScore(distill(teacher, rows, hidden_sizes=(16, 8), epochs=15))

    value, wanted = student(new)[0], teacher(new)[0]
    assert np.mean((value - wanted) ** 2) < 0.5 * np.var(wanted)
    assert sum(p.numel() for p in student.networks.parameters()) < 7_000
