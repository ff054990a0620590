from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from experience.agents import AGENTS, MissingFrameworkError, choose_side, create_agent
from experience.arguments import ALGORITHMS, Arguments, choose_defaults


@pytest.mark.parametrize(
    ("flag", "variable", "side"),
    [
        (True, "0", "torch"),
        (False, "1", "legacy"),
        (None, "1", "torch"),
        (None, "0", "legacy"),
        (None, "no", "legacy"),
        (None, "auto", "torch"),
        (None, None, "torch"),
    ],
)
def test_flag_comes_before_the_variable(flag: bool | None, variable: str | None, side: str) -> None:
    environment = {} if variable is None else {"USE_PYTORCH": variable}

    assert choose_side(SimpleNamespace(use_pytorch=flag), environment) == side


@pytest.mark.parametrize(
    ("flag", "variable", "module"),
    [
        (None, "0", "legacy_tf.sac"),
        (None, "1", "torch_impl.sac"),
        (True, "0", "torch_impl.sac"),
        (False, "1", "legacy_tf.sac"),
    ],
)
def test_the_agent_is_made_on_the_side_of_the_flag_or_of_the_variable(
    flag: bool | None, variable: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def stand_in(name: str) -> SimpleNamespace:
        made.append(name)
        return SimpleNamespace(SAC=lambda *_, **__: name)

    monkeypatch.setenv("USE_PYTORCH", variable)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("importlib.import_module", stand_in)
    args = Arguments()
    args.alg, args.obs_dims, args.acts_dims = "sac", (3,), (1,)
    args.use_pytorch = flag  # as the migration guide sets it

    assert create_agent(args) == module
    assert made == [module]


@pytest.mark.parametrize(
    ("installed", "side"),
    [(("tensorflow",), "legacy"), (("torch", "tensorflow"), "torch"), ((), "torch")],
    ids=["one", "both", "none"],
)
def test_tensorflow_is_taken_where_there_is_no_torch(
    installed: tuple[str, ...], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in installed or None)

    assert choose_side(SimpleNamespace(), {}) == side


@pytest.mark.parametrize("side", ["torch", "legacy"])
def test_missing_framework_is_said(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = choose_defaults(env="Pendulum-v1")
    arguments.obs_dims, arguments.acts_dims = (3,), (1,)

    with pytest.raises(MissingFrameworkError, match=r"install it with: pip install "):
        create_agent(arguments, side=side)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_has_an_agent(alg: str) -> None:
    arguments = choose_defaults(env="Pendulum-v1", alg=alg, hidden_sizes=(4, 4), seed=3)
    arguments.obs_dims, arguments.acts_dims = (3,), (2,)

    agent = create_agent(arguments, side="torch")

    assert AGENTS[alg][1] in [base.__name__ for base in type(agent).__mro__]
    assert agent.seed == 3


def test_sizes_come_from_the_environment_if_they_are_not_given() -> None:
    pytest.importorskip("gymnasium")
    arguments = choose_defaults(env="Pendulum-v1", hidden_sizes=(4, 4))

    create_agent(arguments, side="torch")

    assert (arguments.obs_dims, arguments.acts_dims) == ((3,), (1,))


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="no algorithm 'ppo'; there are ddpg"):
        create_agent(SimpleNamespace(alg="ppo"))
