from __future__ import annotations

import torch

from torch_impl.keras_compat.batch_renorm import BatchRenorm


def test_first_training_step_by_hand() -> None:
    layer = BatchRenorm(1, eps=0.0, momentum=0.9, renorm_momentum=0.5, rmax=1.5, dmax=0.25).train()
    x = torch.tensor([[1.0], [5.0]])  # mean 3, standard deviation 2

    y = layer(x)

    # r = min(2 / 1, 1.5), d = min(3 / 1, 0.25)
    assert y.flatten().tolist() == [-1.25, 1.75]
    assert layer.renorm_mean.item() == 1.5
    assert layer.renorm_stddev.item() == 1.5
    torch.testing.assert_close(layer.running_mean, torch.tensor([0.3]))
    torch.testing.assert_close(layer.running_var, torch.tensor([1.1**2]))


def test_frozen_layer_uses_and_keeps_its_statistics() -> None:
    layer = BatchRenorm(3, frozen=True).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}

    y = layer(torch.full((4, 3), 2.0))

    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    torch.testing.assert_close(y, torch.full((4, 3), 2.0 / 1.001**0.5))


def test_corrections_have_no_gradient() -> None:
    layer = BatchRenorm(1, eps=0.0).double().train()
    x = torch.tensor([[1.0], [5.0], [6.0]], dtype=torch.float64, requires_grad=True)

    layer(x).square().sum().backward()

    # x normalized does not see a shift of x; r * x + d would, if d had a gradient.
    assert x.grad is not None
    assert abs(x.grad.sum().item()) < 1e-12
