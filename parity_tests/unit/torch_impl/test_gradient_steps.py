from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torch_impl import compiled_steps, gradient_steps
from torch_impl.compiled_steps import CompileReport, CompilingError, FlatTensors
from torch_impl.dqn import DQNAgent
from torch_impl.gradient_steps import GradientSteps
from torch_impl.keras_compat.optimizers import Adam, AdamW
from torch_impl.losses import TensorBatch, q_learning_loss
from torch_impl.networks import DQNetwork

MASKS = {"dropout1": 7, "dropout2": 6}
SCHEDULE = {
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.01, "decay_steps": 3, "decay_rate": 0.5},
}


class Trainee:
    """A small network with a target network of other weights, an optimizer, and its steps."""

    def __init__(self, compiled: bool | str, **options: Any) -> None:
        dtype = options.pop("dtype", "float64")
        network = {"hidden_sizes": (7, 6, 5), "dueling": options.pop("dueling", False)}
        loss = {"double": options.pop("double", False), "loss": options.pop("loss", "mse")}
        make = options.pop("optimizer", Adam)
        options = {"learning_rate": 0.01, "global_clipnorm": 0.5, **options}
        self.network = DQNetwork(4, 3, dtype=dtype, seed=0, **network).eval()
        self.target = DQNetwork(4, 3, dtype=dtype, seed=1, **network).eval()
        self.optimizer = make(self.network.parameters(), **options)
        self.steps = GradientSteps(
            self.network,
            self.target,
            self.optimizer,
            partial(q_learning_loss, gamma=0.9, **loss),
            compiled=compiled,  # type: ignore[arg-type]
        )

    def state(self) -> dict[str, Tensor]:
        """Everything that training changes, as copies."""
        state = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            slots = self.optimizer.state[parameter]
            state |= {f"{name}.{slot}": tensor.clone() for slot, tensor in slots.items()}
        return state | {"iterations": torch.tensor(self.optimizer.param_groups[0]["iterations"])}


def make_batches(
    updates: int, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[TensorBatch, dict[str, Tensor]]:
    rng = np.random.default_rng(seed)

    def tensor(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(size=shape)).to(dtype)

    masks = {
        name: torch.from_numpy((rng.random((updates, 9, units)) < 0.8) / 0.8).to(dtype)
        for name, units in MASKS.items()
    }
    batches = TensorBatch(
        tensor(updates, 9, 4),
        torch.from_numpy(rng.integers(3, size=(updates, 9))),
        5 * tensor(updates, 9),
        tensor(updates, 9, 4),
        torch.from_numpy(rng.random((updates, 9)) < 0.3).to(dtype),
    )
    return batches, masks


def assert_same(
    found: dict[str, Tensor], needed: dict[str, Tensor], *, limit: float = 1e-12
) -> None:
    assert found.keys() == needed.keys()
    for name, tensor in needed.items():
        torch.testing.assert_close(
            found[name],
            tensor,
            rtol=limit,
            atol=limit,
            msg=partial("{}: {}".format, name),
        )


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run the traced step itself, made in milliseconds, in place of what inductor makes of it; 2 updates a call.

    Returns the number of step sizes (the updates) of every trace.
    """
    import torch._inductor

    traces: list[int] = []

    def keep(
        graph: Callable[..., Tensor], arguments: list[Tensor], **_: Any
    ) -> Callable[..., Tensor]:
        traces.append(next(len(tensor) for tensor in arguments[2:] if len(tensor) < 20))
        return graph

    monkeypatch.setattr(torch._inductor, "compile", keep)
    monkeypatch.setattr(gradient_steps, "UPDATES_PER_CALL", 2)
    return traces


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "huber": {"loss": "huber"},
    "not-clipped": {"global_clipnorm": None},
    "amsgrad": {"amsgrad": True},
    "schedule": {"learning_rate": SCHEDULE},
    "adamw-without-decay": {"optimizer": AdamW, "weight_decay": None},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("updates", [2, 3], ids=["one-call", "singles"])
@pytest.mark.usefixtures("traced")
def test_traced_steps_equal_eager_steps(options: dict[str, Any], updates: int) -> None:
    eager, compiled = Trainee(False, **options), Trainee(True, **options)

    losses = [
        torch.cat([trainee.steps(*make_batches(updates, seed=seed)) for seed in range(3)])
        for trainee in (eager, compiled)
    ]

    torch.testing.assert_close(losses[1], losses[0], rtol=1e-12, atol=1e-12)
    assert_same(compiled.state(), eager.state())


@pytest.mark.slow
@pytest.mark.parametrize(
    "planted",
    [
        {"double": True},
        {"epsilon": 1e-6},
        *[
            pytest.param(planted, marks=pytest.mark.slow)
            for planted in (
                {"loss": "huber"},
                {"global_clipnorm": 0.51},
                {"beta_2": 0.9991},
                {"learning_rate": 0.01001},
            )
        ],
    ],
    ids=lambda planted: next(iter(planted)),
)
@pytest.mark.usefixtures("traced")
def test_a_planted_difference_is_seen(planted: dict[str, Any]) -> None:
    eager, compiled = Trainee(False), Trainee(True, **planted)
    batches = make_batches(2)

    eager.steps(*batches)
    compiled.steps(*batches)

    with pytest.raises(AssertionError):
        assert_same(compiled.state(), eager.state())


def load_other_weights(trainee: Trainee) -> None:
    trainee.network.load_state_dict(DQNetwork(4, 3, hidden_sizes=(7, 6, 5), seed=5).state_dict())


def copy_into_target(trainee: Trainee) -> None:
    trainee.target.load_state_dict(trainee.network.state_dict())


def reload_optimizer(trainee: Trainee) -> None:
    state = trainee.optimizer.state_dict()
    state["state"][0]["exp_avg"] = state["state"][0]["exp_avg"] + 0.1
    trainee.optimizer.load_state_dict(state)


def change_beta(trainee: Trainee) -> None:
    trainee.optimizer.param_groups[0]["beta_1"] = 0.5


def replace_storage(trainee: Trainee) -> None:
    for network in (trainee.network, trainee.target):
        network.float().double()


def change_mode(trainee: Trainee) -> None:
    trainee.steps._mode = False


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        load_other_weights,
        copy_into_target,
        reload_optimizer,
        change_beta,
        replace_storage,
        change_mode,
    ],
)
@pytest.mark.usefixtures("traced")
def test_changes_from_outside_are_seen_by_compiled_steps(change: Callable[[Trainee], None]) -> None:
    eager, compiled = Trainee(False), Trainee(True)

    for trainee in (eager, compiled):
        trainee.steps(*make_batches(2, seed=0))
        change(trainee)
        trainee.steps(*make_batches(2, seed=1))

    # float() rounds, so a last bit that differed before is a float32 step apart after it.
    assert_same(compiled.state(), eager.state(), limit=1e-6 if change is replace_storage else 1e-12)


@pytest.mark.slow
def test_masks_may_be_views_of_any_strides(traced: list[int]) -> None:
    (batches, masks), contiguous, strided = make_batches(2), Trainee(True), Trainee(True)

    contiguous.steps(batches, masks)
    strided.steps(batches, {name: mask.mT.contiguous().mT for name, mask in masks.items()})

    assert_same(strided.state(), contiguous.state(), limit=0)
    assert traced == [2, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("double", [False, True])
def test_the_target_network_is_evaluated_once_for_all_updates_of_a_call(double: bool) -> None:
    trainee, shapes = Trainee(True, double=double), list[tuple[int, ...]]()
    trainee.target.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))

    trainee.steps(*make_batches(2))

    assert shapes == [(2 * 9, 4)]


@pytest.mark.slow
def test_only_full_calls_and_single_updates_are_compiled(traced: list[int]) -> None:
    trainee = Trainee(True)

    for updates in (2, 4, 3, 1):
        assert trainee.steps(*make_batches(updates)).shape == (updates,)

    assert traced == [2, 1]
    assert trainee.steps.done == 10
    assert trainee.steps.report.graphs == 2


@pytest.mark.slow
def test_auto_compiles_after_enough_updates(
    traced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_steps, "UPDATES_BEFORE_COMPILING", 4)
    trainee = Trainee("auto")

    trainee.steps(*make_batches(4))
    before = list(traced)
    trainee.steps(*make_batches(2))

    assert (before, traced) == ([], [2])


@pytest.mark.slow
def test_a_loaded_agent_compiles_where_it_would_have(
    traced: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gradient_steps, "UPDATES_BEFORE_COMPILING", 4)
    agent = DQNAgent(4, 3, hidden_sizes=(7,), device="cpu", compiled="auto")
    rng = np.random.default_rng(0)
    for _ in range(agent.batch_size):
        agent.remember(rng.normal(size=4), 1, 1.0, rng.normal(size=4), False)
    agent.update_many(4, rng)
    agent.save(tmp_path / "agent")

    loaded, eager = (
        DQNAgent.load(tmp_path / "agent", device="cpu", compiled=compiled)
        for compiled in ("auto", False)
    )
    for each in (loaded, eager):
        each.memory.load_state_dict(agent.memory.state_dict())
        each.update_many(2, np.random.default_rng(1))

    assert traced == [2]


@pytest.mark.parametrize("compiled", [False, "auto"])
def test_eager_steps_compile_nothing(traced: list[int], compiled: bool | str) -> None:
    trainee = Trainee(compiled)

    trainee.steps(*make_batches(2))

    assert traced == []
    assert trainee.steps.report == CompileReport(seconds=0, graphs=0, cached=0)


def miss_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def find_nothing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", find_nothing)


def break_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor

    def fail(*_: object, **__: object) -> None:
        msg = "Python.h: no such file\nand much more"
        raise RuntimeError(msg)

    monkeypatch.setattr(torch._inductor, "compile", fail)


@pytest.mark.parametrize(
    ("obstruct", "options", "reason"),
    [
        (
            miss_compiler,
            {},
            "no C++ compiler was found; install g++ or name one in the variable CXX",
        ),
        (break_compiler, {}, "compiling failed with RuntimeError: Python.h: no such file"),
        (None, {"weight_decay": 0.1}, "Adam with 1 parameter groups and weight_decay; compiled is"),
    ],
    ids=["no-compiler", "broken-compiler", "unsupported-option"],
)
def test_an_obstacle_is_said_once_and_updates_run_eagerly(
    obstruct: Callable[[pytest.MonkeyPatch], None] | None,
    options: dict[str, Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
) -> None:
    eager, obstructed = Trainee(False, **options), Trainee(True, **options)
    if obstruct is not None:
        obstruct(monkeypatch)

    for trainee in (eager, obstructed):
        for seed in range(3):
            trainee.steps(*make_batches(1, seed=seed))

    assert_same(obstructed.state(), eager.state(), limit=0)
    assert len(logged) == 1
    assert logged[0].startswith(f"updates run in eager PyTorch: {reason}")
    assert obstructed.steps.obstacle is not None
    assert obstructed.steps.obstacle.startswith(reason)


def test_several_groups_are_refused() -> None:
    network = DQNetwork(4, 3)
    groups = [{"params": [parameter]} for parameter in network.parameters()]

    with pytest.raises(CompilingError, match="8 parameter groups"):
        compiled_steps.check_optimizer(Adam(groups))


def test_flat_tensors_share_their_vector_until_they_get_other_storage() -> None:
    tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor([7.0, 8.0])]
    flat = FlatTensors(tensors)

    flat.vector.mul_(2)
    tensors[1][0] = 5

    assert tensors[0].tolist() == [[0, 2, 4], [6, 8, 10]]
    assert flat.vector.tolist() == [0, 2, 4, 6, 8, 10, 5, 16]
    assert flat.holds(tensors)
    tensors[1].data = tensors[1].clone()
    assert not flat.holds(tensors)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of inductor's own imports
@pytest.mark.parametrize(
    ("dtype", "limit"), [("float64", 1e-11), ("float32", 2e-5)], ids=["float64", "float32"]
)
def test_two_hundred_compiled_updates_end_where_eager_ones_do(
    dtype: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_steps, "UPDATES_PER_CALL", 2)  # the compiler's time grows with it
    eager, compiled = Trainee(False, dtype=dtype), Trainee(True, dtype=dtype)

    for trainee in (eager, compiled):
        for seed in range(20):
            trainee.steps(*make_batches(10, seed=seed, dtype=getattr(torch, dtype)))

    assert compiled.steps.obstacle is None
    assert compiled.steps.report.graphs == 1
    assert compiled.steps.report.seconds > 0
    assert_same(compiled.state(), eager.state(), limit=limit)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of inductor's own imports
def test_the_second_compilation_of_a_step_comes_from_the_cache(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    first, second = Trainee(True), Trainee(True)

    for trainee in (first, second):
        trainee.steps(*make_batches(1))

    assert [first.steps.report.cached, second.steps.report.cached] == [0, 1]
