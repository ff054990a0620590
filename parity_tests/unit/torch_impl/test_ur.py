"""The torch side of the Ur networks: sizes, losses by hand, the flat step against torch.optim's, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from experience.ur_networks import UrBatch
from torch_impl import ur
from torch_impl.checkpoints import CheckpointError, read_checkpoint
from torch_impl.ur import UrTrainer
from torch_impl.ur_networks import PolicyNetwork, UrNetworks, ValueNetwork
from torch_impl.ur_steps import policy_loss, value_loss

SMALL: dict[str, Any] = {"hidden_sizes": (6, 4), "batch_size": 8, "device": "cpu"}


def positions(count: int = 40, seed: int = 0) -> UrBatch:
    rng = np.random.default_rng(seed)
    policy = np.eye(7)[rng.integers(7, size=count)]
    return UrBatch(rng.normal(size=(count, 150)), rng.uniform(-1, 1, count), policy)


@pytest.mark.parametrize(("network", "count"), [(ValueNetwork, 81_921), (PolicyNetwork, 82_119)])
def test_networks_have_the_originals_parameters(network: Any, count: int) -> None:
    built = network()
    layers = [each for each in built.modules() if isinstance(each, nn.Linear)]
    rates = [each.p for each in built.modules() if isinstance(each, nn.Dropout)]

    assert sum(p.numel() for p in built.parameters()) == count
    assert [layer.in_features for layer in layers] == [150, 256, 128, 64, 32]
    assert rates == [0.1] * 4


def test_outputs_are_a_tanh_and_probabilities() -> None:
    value, policy = UrNetworks(dtype="float64")(torch.randn(5, 150, dtype=torch.float64) * 100)

    assert value.shape == (5, 1)
    assert value.abs().max() <= 1
    assert policy.shape == (5, 7)
    torch.testing.assert_close(policy.sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_both_networks_start_from_different_weights_within_the_bound_of_a_linear_layer() -> None:
    networks = UrNetworks()

    assert not torch.equal(networks.value.fc1.weight, networks.policy.fc1.weight)
    assert networks.value.fc1.weight.abs().max() <= 150**-0.5
    assert networks.value.fc1.weight.std().item() == pytest.approx(150**-0.5 / 3**0.5, rel=0.02)


def test_doubled_softmax_cannot_fall_below_its_floor() -> None:
    certain = torch.tensor([[1_000.0, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    target = torch.eye(7, dtype=torch.float64)[:1]

    assert policy_loss(certain, target, kind="double_softmax").item() == pytest.approx(
        np.log(np.e + 6) - 1
    )
    assert policy_loss(certain, target, kind="cross_entropy").item() == 0.0


def test_losses_are_those_worked_out_by_hand() -> None:
    logits = torch.log(torch.tensor([[4.0, 1, 1, 1, 1, 1, 1]], dtype=torch.float64))
    target = torch.tensor([[0.5, 0.5, 0, 0, 0, 0, 0]], dtype=torch.float64)
    value, wanted = torch.tensor([2.0, 0.5]), torch.tensor([0.0, 0.0])

    cross_entropy = -0.5 * np.log(0.4) - 0.5 * np.log(0.1)
    assert policy_loss(logits, target, kind="cross_entropy").item() == pytest.approx(cross_entropy)
    assert policy_loss(logits, target, kind="kl").item() == pytest.approx(cross_entropy - np.log(2))
    assert value_loss(value, wanted, kind="mse").item() == pytest.approx((4 + 0.25) / 2)
    assert value_loss(value, wanted, kind="huber").item() == pytest.approx((1.5 + 0.125) / 2)


def test_flat_step_is_that_of_two_optimizers() -> None:
    trainer = UrTrainer(**SMALL, dtype="float64")
    plain = UrNetworks(hidden_sizes=(6, 4), dtype="float64").eval()
    optimizers = [torch.optim.Adam(net.parameters()) for net in (plain.value, plain.policy)]
    batch = positions(8)
    features, value, policy = (torch.from_numpy(field) for field in batch)
    ones = {
        f"{n}/dropout{i}": np.ones((8, u)) for n in ("value", "policy") for i, u in ((1, 6), (2, 4))
    }

    for _ in range(20):
        loss = nn.functional.mse_loss(plain.value(features)[:, 0], value)
        loss = loss + nn.functional.cross_entropy(plain.policy.logits(features), policy)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        found = trainer.update(batch, ones)
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-12)

    for name, parameter in plain.named_parameters():
        own = dict(trainer.networks.named_parameters())[name]
        torch.testing.assert_close(own, parameter, rtol=0, atol=1e-13)


def test_an_epoch_trains_on_every_row_once_and_the_last_batch_is_smaller() -> None:
    trainer = UrTrainer(**SMALL, dropout=0.0, dtype="float64")
    single = UrTrainer(**SMALL, dropout=0.0, dtype="float64")
    samples, order = positions(21), np.random.default_rng(1).permutation(21)

    means = trainer.train_epoch(samples, order)
    losses = [single.update(samples.rows(order[i : i + 8]))["loss"] for i in (0, 8, 16)]

    assert means["loss"] == pytest.approx(np.average(losses, weights=[8, 8, 5]), rel=1e-12)
    for name, array in single.get_weights().items():
        np.testing.assert_array_equal(trainer.get_weights()[name], array)


def test_dropout_acts_in_training_only() -> None:
    trainer = UrTrainer(**SMALL, dropout=0.5)
    samples = positions(40)

    assert trainer.measure(samples) == trainer.measure(samples)
    first = trainer.loss_and_gradients(samples)[0]
    assert first != trainer.loss_and_gradients(samples)[0]


def test_saved_trainer_goes_on_bit_by_bit(tmp_path: Path) -> None:
    trainer, samples, order = UrTrainer(**SMALL), positions(64), np.arange(64)
    trainer.train_epoch(samples, order)
    trainer.save(tmp_path / "ur")

    loaded = UrTrainer.load(tmp_path / "ur", device="cpu")

    assert loaded.train_epoch(samples, order) == trainer.train_epoch(samples, order)
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(loaded.get_weights()[name], array)


def test_scaled_losses_go_on_with_their_scale_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.amp.GradScaler

    def on_the_processor(device: str, *, enabled: bool) -> torch.amp.GradScaler:
        # 3: no power of two, so that another scale gives other gradients; it doubles after every third step.
        return real(device, init_scale=3.0, growth_interval=3, enabled=enabled or device == "cpu")

    monkeypatch.setattr(torch.amp, "GradScaler", on_the_processor)
    trainer, samples, order = UrTrainer(**SMALL), positions(64), np.arange(64)
    trainer.train_epoch(samples, order)
    trainer.save(tmp_path / "ur")

    loaded = UrTrainer.load(tmp_path / "ur", device="cpu")

    assert loaded._steps.scaler_state() == {"scale": 12.0, "steps_since_growth": 2}
    assert loaded.train_epoch(samples, order) == trainer.train_epoch(samples, order)
    assert loaded._steps.scaler_state() == {"scale": 96.0, "steps_since_growth": 1}
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(loaded.get_weights()[name], array)


def test_stored_optimizer_state_is_that_of_the_parameters(tmp_path: Path) -> None:
    trainer = UrTrainer(**SMALL)
    trainer.update(positions(8))
    trainer.save(tmp_path / "ur")

    checkpoint = read_checkpoint(tmp_path / "ur.pth")
    networks = UrNetworks(hidden_sizes=(6, 4))
    optimizer = torch.optim.Adam(networks.parameters())
    optimizer.load_state_dict(dict(checkpoint.optimizer_state_dict or {}))

    state = optimizer.state[networks.value.fc1.weight]
    assert state["exp_avg"].shape == (6, 150)
    assert state["exp_avg"].abs().max() > 0


def test_file_of_other_networks_is_refused(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.zeros(3, 2)}, tmp_path / "other.pth")

    with pytest.raises(CheckpointError, match=r"not a UrTrainer of these settings"):
        UrTrainer.load(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("cuda", "mps", "dtype", "asked", "device"),
    [
        (True, True, "float32", "auto", "auto"),  # which is CUDA where there is some
        (False, True, "float32", "auto", "mps"),
        (False, True, "float64", "auto", "auto"),  # MPS has no float64
        (False, False, "float32", "auto", "auto"),
        (True, True, "float32", "cpu", "cpu"),
    ],
)
def test_device_is_cuda_then_mps_then_the_processor(
    cuda: bool, mps: bool, dtype: str, asked: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(ur, "find_device", lambda name: name)

    assert str(ur._find_device(asked, dtype)) == device


@pytest.mark.slow
def test_half_precision_trains_to_nearly_the_same_loss() -> None:
    samples, order = positions(256), np.arange(256)
    half, full = (UrTrainer(**SMALL, dropout=0.0, amp=amp) for amp in (True, False))
    for trainer in (half, full):
        for _ in range(5):
            trainer.train_epoch(samples, order)

    losses = [trainer.measure(samples)["loss"] for trainer in (half, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]  # it did compute in half precision
    assert half.get_weights()["value/fc1/kernel"].dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_sizes": ()}, "hidden_sizes"),
        ({"dropout": 1.0}, "dropout"),
        ({"policy_loss": "mse"}, "policy_loss must be one of cross_entropy"),
        ({"value_loss": "kl"}, "value_loss"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UrTrainer(**settings)
