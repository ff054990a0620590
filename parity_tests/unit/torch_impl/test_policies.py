from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from torch_impl.policies import MLPStochasticPolicy, RandomNormal


def tensors(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    mean, logstd = draw
    return mean, logstd


def test_density_entropy_and_divergence_are_those_of_torch_distributions() -> None:
    (mean, logstd), (other_mean, other_logstd) = tensors(0), tensors(1)
    mine, other = RandomNormal(mean, logstd), RandomNormal(other_mean, other_logstd)
    expected, expected_other = Normal(mean, logstd.exp()), Normal(other_mean, other_logstd.exp())
    x = other_mean

    def total(terms: torch.Tensor) -> torch.Tensor:
        return terms.sum(dim=-1, keepdim=True)

    torch.testing.assert_close(mine.log_p(x), total(expected.log_prob(x)), rtol=1e-12, atol=0)
    torch.testing.assert_close(mine.entropy(), total(expected.entropy()), rtol=1e-12, atol=1e-12)
    divergence = total(kl_divergence(expected, expected_other))
    torch.testing.assert_close(mine.kl(other), divergence, rtol=1e-12, atol=1e-12)


def test_std_has_a_floor_and_the_density_keeps_the_log_std_without_it() -> None:
    mean, logstd = torch.zeros(1, 1), torch.full((1, 1), -10.0)

    distribution = RandomNormal(mean, logstd)

    assert distribution.std.item() == pytest.approx(0.01)
    assert distribution.log_p(mean).item() == pytest.approx(-0.5 * math.log(2 * math.pi) + 10.0)


def test_log_std_of_one_row_serves_all_rows() -> None:
    distribution = RandomNormal(torch.zeros(4, 2), torch.tensor([0.0, 1.0]))

    assert distribution.entropy().shape == (4, 1)
    assert np.allclose(distribution.std, np.tile([1.0, math.e], (4, 1)))


def test_sample_is_mean_plus_noise_times_std() -> None:
    distribution = RandomNormal(torch.tensor([[1.0]]), torch.tensor([[math.log(2.0)]]))

    assert distribution.sample(torch.tensor([[3.0]])).item() == pytest.approx(7.0)


def test_log_std_of_the_policy_stays_in_its_range() -> None:
    policy = MLPStochasticPolicy(2, 1, hidden_sizes=(3, 4))
    for parameter in policy.parameters():
        torch.nn.init.zeros_(parameter)
    policy.pi.bias.data.copy_(torch.tensor([0.5, 30.0]))

    distribution = policy(torch.zeros(1, 2))

    assert distribution.mean.item() == 0.5
    assert distribution.logstd.item() == 2.0
