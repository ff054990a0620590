from __future__ import annotations

import numpy as np
import pytest
import torch

from torch_impl.normalizer import Normalizer, normalize_states


def test_statistics_are_those_of_everything_seen() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(3.0, 2.0, (size, 2)) for size in (5, 1, 40)]
    normalizer = Normalizer((2,), dtype="float64")

    for each in rows:
        normalizer.update(each)

    seen = np.concatenate(rows)
    assert np.allclose(normalizer.mean, seen.mean(axis=0), rtol=1e-12)
    assert np.allclose(normalizer.std, seen.std(axis=0), rtol=1e-10)
    assert normalizer.cnt.item() == 46


def test_zero_gives_nan_and_others_the_limit_before_the_first_update() -> None:
    scaled = Normalizer((3,)).normalize(torch.tensor([[0.5, 0.0, -0.5]]))

    assert scaled[0, 0] == 5.0
    assert scaled[0, 1].isnan()
    assert scaled[0, 2] == -5.0


def test_identity_start_leaves_inputs_alone_within_the_limit() -> None:
    normalizer = Normalizer((2,), identity_start=True)

    assert normalizer.normalize(torch.tensor([[0.5, -9.0]])).tolist() == [[0.5, -5.0]]


@pytest.mark.parametrize("identity_start", [False, True], ids=["as-the-original", "safe"])
def test_negative_variance_by_rounding_gives_nan_unless_started_safely(
    identity_start: bool,
) -> None:
    normalizer = Normalizer((1,), identity_start=identity_start)
    normalizer.sum_sqr.fill_(-1e-3)

    normalizer.update(np.zeros((4, 1), np.float32))

    assert normalizer.std.isnan().item() is not identity_start
    if identity_start:
        assert normalizer.std.item() == pytest.approx(0.01)


def test_constant_component_has_the_smallest_std() -> None:
    normalizer = Normalizer((1,))

    normalizer.update(np.full((4, 1), 0.5, np.float32))

    assert normalizer.normalize(torch.tensor([[0.52]])).item() == pytest.approx(2.0, rel=1e-5)


def test_prefix_and_suffix_use_their_part_of_the_statistics() -> None:
    normalizer = Normalizer((3,), identity_start=True)
    normalizer.mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    inputs = torch.zeros(1, 2)

    assert normalizer.normalize_prefix(inputs).tolist() == [[-1.0, -2.0]]
    assert normalizer.normalize_suffix(inputs).tolist() == [[-2.0, -3.0]]


def test_all_statistics_are_in_the_state() -> None:
    assert set(Normalizer((2,)).state_dict()) == {"sum", "sum_sqr", "cnt", "mean", "std"}


def test_states_get_mean_0_and_deviation_1() -> None:
    states = torch.randn(100, 4, generator=torch.Generator().manual_seed(0)) * 10 + 5

    normalized = normalize_states(states)

    assert normalized.mean(dim=0).abs().max() < 1e-6
    torch.testing.assert_close(normalized.std(dim=0), torch.ones(4))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_a_constant_feature_becomes_0(value: float) -> None:
    states = torch.stack([torch.arange(7.0), torch.full((7,), value)], dim=1)

    normalized = normalize_states(states)

    assert torch.equal(normalized[:, 1], torch.zeros(7))
    torch.testing.assert_close(normalized[:, 0].std(), torch.tensor(1.0))


def test_a_single_state_becomes_0() -> None:
    assert torch.equal(normalize_states(torch.tensor([[3.0, -1.0]])), torch.zeros(1, 2))


def test_gradients_of_constant_features_are_finite() -> None:
    states = torch.ones(3, 2, requires_grad=True)

    normalize_states(states).square().sum().backward()

    assert states.grad is not None
    assert torch.isfinite(states.grad).all()
