"""Graphs of TensorFlow 1 and exported functions, beside what the original session or model recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import torchward
from converters.errors import UnreadableFileError
from parity_tests import FIXTURES
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

TOLERANCE = 1e-5
"""Of the corpus, in float32."""
DDPG = (
    ["s:0", "a:0"],
    {
        "action": "actor/eval/mul:0",
        "q": "critic/eval/q/BiasAdd:0",
        "q_mu": "critic/eval_1/q/BiasAdd:0",
    },
)
LOGITS = (["observations:0"], {"logits": "add:0", "proba": "act_prob:0"})
CONV = (["frames:0", "t:0", "is_training:0"], {"q": "q_net/out/BiasAdd:0"})
CASES: Mapping[str, tuple[list[str] | None, Mapping[str, str] | None]] = {
    "tf1_opt_adam/m.ckpt-4": (["x:0", "t:0"], {"y": "y/BiasAdd:0"}),
    "tf1_ddpg_scopes/ckpts/ddpg.ckpt-6": DDPG,
    "tf1_raw_variables_pg/pg.ckpt": LOGITS,
    "tf1_raw_variables_pg/v1/pg_v1.ckpt": LOGITS,
    "tf1_raw_variables_pg/renamed/pg.ckpt": LOGITS,
    "tf1_conv_bn_ema/frozen.pb": CONV,
    "spinup_ddpg_mountaincarcontinuous/tf1_save": (None, None),
    "k315_lstm_policy/exported": (None, None),
}
"""Checkpoint to the inputs and outputs that are asked for; None: what its signature says."""


def recorded(path: str) -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / path.split("/")[0] / "expected.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def feeds(arrays: Mapping[str, NDArray[Any]], count: int) -> list[Tensor]:
    names = [name for name in ("x0", "x1", "t0", "is_training") if name in arrays][:count]
    return [torch.from_numpy(np.array(arrays[name])) for name in names]


@pytest.mark.parametrize("path", CASES)
def test_outputs_are_those_recorded(path: str, tmp_path: Path) -> None:
    inputs, outputs = CASES[path]
    arrays = recorded(path)

    torchward.convert(FIXTURES / path, tmp_path / "out.pth", inputs=inputs, outputs=outputs)
    model = torchward.load(tmp_path / "out.pth")
    with torch.no_grad():
        found = model(*feeds(arrays, len(model.architecture.inputs)))

    wanted = {"output_0": arrays["y0"]} if "y0" in arrays else dict(arrays)
    if "pi" in arrays:  # Spinning Up's deterministic policy, whose best action has a name as well
        wanted["deterministic_action"] = arrays["pi"]
    assert found
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), wanted[name], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(
    "case", ["tf1_gru_long", "tf1_gru_lengths", "tf1_lstm_open_time", "tf1_dilated_mirror"]
)
def test_frozen_graphs_give_what_their_session_recorded(case: str, tmp_path: Path) -> None:
    stated = json.loads((FIXTURES / case / "meta.json").read_text())
    arrays = recorded(case)
    inputs, outputs = dict(stated["placeholders"]), dict(stated["outputs"])

    torchward.convert(
        FIXTURES / case / "frozen.pb", tmp_path / "out.pth", inputs=inputs, outputs=outputs
    )
    model = torchward.load(tmp_path / "out.pth")
    with torch.no_grad():
        found = model(**{name: torch.from_numpy(arrays[name]) for name in inputs})

    for name in outputs:
        np.testing.assert_allclose(found[name], arrays[name], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("path", ["tf1_sharded_v1", "tf1_sharded_v1/m"])
def test_shards_of_the_first_format_are_one_checkpoint(path: str, tmp_path: Path) -> None:
    arrays = recorded(path)

    torchward.convert(FIXTURES / path, tmp_path / "out.pth", inputs=["x:0"], outputs={"y": "out:0"})
    with torch.no_grad():
        found = torchward.load(tmp_path / "out.pth")(torch.from_numpy(arrays["x"]))

    np.testing.assert_allclose(found["y"], arrays["y"], rtol=TOLERANCE, atol=TOLERANCE)


def test_a_missing_shard_of_the_first_format_is_named(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "tf1_sharded_v1", tmp_path / "v1")
    (tmp_path / "v1" / "m-00001-of-00002").unlink()

    with pytest.raises(UnreadableFileError, match="m-00001-of-00002: there is no such file"):
        torchward.convert(tmp_path / "v1" / "m", tmp_path / "out.pth", outputs=["out:0"])


def test_long_loops_around_a_gru_are_a_layer(tmp_path: Path) -> None:
    path = FIXTURES / "tf1_gru_long" / "frozen.pb"

    torchward.convert(
        path, tmp_path / "out.pth", outputs=["dense/BiasAdd:0"], source_code=tmp_path / "out.py"
    )

    body = (tmp_path / "out.py").read_text().rpartition("def forward")[2].splitlines()[1:]
    assert [line.strip() for line in body if line.strip()] == [
        "_, x = self.rnn_gru_cell(x)",
        "dense = self.dense(x)",
        "return (dense,)",
    ]


def test_tables_and_running_statistics_train_on(tmp_path: Path) -> None:
    arrays = recorded("tf1_embedding_bn")
    path = FIXTURES / "tf1_embedding_bn" / "m.ckpt-4"
    torchward.convert(path, tmp_path / "out.pth", inputs={"x": "x:0"}, outputs={"q": "q/BiasAdd:0"})
    model, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    model.eval()
    places, wanted = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["t0"])
    with torch.no_grad():
        np.testing.assert_allclose(model(x=places)["q"], arrays["q"], rtol=1e-5, atol=1e-6)

    model.train()
    losses = []
    for _ in arrays["resume_losses"]:
        optimizer.zero_grad()
        loss = ((model(x=places)["q"] - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()

    np.testing.assert_allclose(losses, arrays["resume_losses"], rtol=1e-5)
    state = {name.rpartition(".")[2]: value for name, value in model.state_dict().items()}
    kept = arrays["after/bn/moving_mean"], arrays["after/bn/moving_variance"]
    np.testing.assert_allclose(state["running_mean"], kept[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["running_var"], kept[1], rtol=1e-5, atol=1e-6)
    tables = [value for value in model.state_dict().values() if value.shape == (12, 6)]
    np.testing.assert_allclose(tables[0], arrays["after/states/embeddings"], rtol=1e-5, atol=1e-5)


def test_two_optimizers_are_two_groups_that_go_on(tmp_path: Path) -> None:
    arrays = recorded("tf1_ddpg_scopes")
    path = FIXTURES / "tf1_ddpg_scopes" / "ckpts" / "ddpg.ckpt-6"
    target = {"target_q": "critic/target/q/BiasAdd:0"}
    for name, inputs, outputs in (("net", *DDPG), ("target", ["s2:0"], target)):
        torchward.convert(path, tmp_path / f"{name}.pth", inputs=inputs, outputs=outputs)
    model, optimizer = torchward.load(tmp_path / "net.pth", optimizer=True)
    frozen = torchward.load(tmp_path / "target.pth")
    state, action, reward, following, done = (
        torch.from_numpy(arrays[name])
        for name in ("x0", "x1", "b_rewards", "b_next_obs", "b_dones")
    )
    learners = {"critic": "q", "actor": "q_mu"}

    losses = []
    for _ in arrays["resume_losses"]:
        with torch.no_grad():
            wanted = reward + 0.98 * (1 - done) * frozen(following)["target_q"]
            losses.append(list(ddpg_losses(model(state, action), wanted).values()))
        for kind in learners:  # one after the other: the actor follows the new critic
            optimizer.zero_grad()
            ddpg_losses(model(state, action), wanted)[kind].backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                if not name.startswith(kind):
                    parameter.grad = None
            optimizer.step()
        trained = model.state_dict()
        for name, value in frozen.state_dict().items():
            value.lerp_(trained[name.replace("target", "eval")], 0.01)

    assert isinstance(optimizer, KerasOptimizer)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.001, 0.002])
    np.testing.assert_allclose(losses, arrays["resume_losses"], rtol=1e-5)
    for name, value in model.state_dict().items():
        stored = arrays[
            "after/" + name.replace("_", "/").replace(".", "/").replace("weight", "kernel")
        ]
        np.testing.assert_allclose(value.numpy(), stored.T, rtol=1e-5, atol=1e-6, err_msg=name)


def ddpg_losses(found: Mapping[str, Tensor], wanted: Tensor) -> dict[str, Tensor]:
    return {"critic": ((found["q"] - wanted) ** 2).mean(), "actor": -found["q_mu"].mean()}


def test_actor_reads_like_one_written_by_hand(tmp_path: Path) -> None:
    path = FIXTURES / "tf1_ddpg_scopes" / "ckpts" / "ddpg.ckpt-6"

    torchward.convert(
        path,
        tmp_path / "actor.pth",
        inputs=["s:0"],
        outputs={"action": "actor/eval/mul:0"},
        source_code=tmp_path / "actor.py",
    )

    source = (tmp_path / "actor.py").read_text()
    body = [
        line.strip() for line in source.partition("def forward")[2].splitlines()[1:] if line.strip()
    ]
    assert body == [
        "x = F.relu(self.l1(x))",
        "x = F.relu(self.l2(x))",
        "action = 2.0 * torch.tanh(self.mu(x))",
        'return {"action": action}',
    ]
    assert "self.mu = nn.Linear(16, 2)" in source
