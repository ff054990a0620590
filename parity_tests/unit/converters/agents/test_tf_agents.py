"""Networks of TF-Agents by the attributes that hold them, where no recording has them; formulas are worked out in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.agents.tf_agents import plan, recognizes
from converters.errors import AmbiguousTargetError, UnsupportedError
from converters.live.build import build_model
from converters.readers.pickles.holding import array_info

RANDOM = np.random.default_rng(11)
Arrays = dict[str, NDArray[Any]]


def dense(path: str, inputs: int, outputs: int) -> Arrays:
    return {
        f"agent/{path}/kernel": RANDOM.normal(size=(inputs, outputs)),
        f"agent/{path}/bias": RANDOM.normal(size=outputs),
    }


def built(arrays: Arrays, **given: object) -> Any:
    infos = {name: array_info(name, values) for name, values in arrays.items()}
    found: Mapping[str, Any] = {name: info for name, info in infos.items() if info is not None}
    network, rule, name = plan(found, AgentFacts("tf-agents", given=given))
    architecture = network.architecture(name, rule, "float32")
    state = {
        move.target: torch.from_numpy(np.array(move.layout.apply(move.source.read()), np.float32))
        for move in network.moves
    }
    return build_model(architecture, state)


def apply(arrays: Arrays, path: str, x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(x @ arrays[f"agent/{path}/kernel"] + arrays[f"agent/{path}/bias"])


def outputs(agent: Any, *inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    with torch.no_grad():
        found = agent(*[torch.from_numpy(x.astype(np.float32)) for x in inputs])
    return {name: value.numpy() for name, value in found.items()}


def observations(size: int) -> NDArray[Any]:
    return RANDOM.normal(size=(3, size)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(("columns", "arranged"), [(33, (3, 11)), (102, (2, 51)), (36, (36,))])
def test_outputs_of_c51_are_arranged_where_that_is_certain(
    columns: int, arranged: tuple[int, ...]
) -> None:
    place = "_q_network/_q_network"
    arrays = {
        **dense(f"{place}/_q_value_layer", 8, columns),
        **dense(f"{place}/_encoder/_postprocessing_layers/1", 4, 8),
    }

    found = outputs(built(arrays), observations(4))

    assert found["logits"].shape == (3, *arranged)


def test_a_policy_without_critics_draws_from_categories() -> None:
    encoder, head = (
        "_actor_network/_encoder/_postprocessing_layers/1",
        "_actor_network/_projection_networks/_projection_layer",
    )
    arrays = {**dense(encoder, 4, 6), **dense(head, 6, 3)}
    x = observations(4)

    agent = built(arrays)

    logits = apply(arrays, head, np.maximum(apply(arrays, encoder, x), 0))
    np.testing.assert_allclose(outputs(agent, x)["logits"], logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(agent.act(x.astype(np.float32)), logits.argmax(1))


def test_deviations_of_sac_are_clipped_before_exp() -> None:
    heads = "_actor_network/_projection_networks"
    critic = "_critic_network_1"
    arrays = {
        **dense("_actor_network/_encoder/_postprocessing_layers/1", 4, 6),
        **dense(f"{heads}/_means_projection_layer", 6, 2),
        **dense(f"{heads}/_stddev_projection_layer", 6, 2),
        **dense(f"{critic}/_action_layers/1", 2, 3),
        **dense(f"{critic}/_joint_layers/1", 7, 5),
        **dense(f"{critic}/_joint_layers/2", 5, 1),
    }
    arrays[f"agent/{heads}/_stddev_projection_layer/bias"] = np.array([60.0, -1.0])
    x, action = observations(4), observations(2)

    found = outputs(built(arrays, activation="elu"), x, action)

    def elu(values: NDArray[Any]) -> NDArray[Any]:
        return np.where(values > 0, values, np.exp(np.minimum(values, 0)) - 1)

    latent = elu(apply(arrays, "_actor_network/_encoder/_postprocessing_layers/1", x))
    raw = apply(arrays, f"{heads}/_stddev_projection_layer", latent)
    np.testing.assert_allclose(found["std"], np.exp(np.clip(raw, -20, 2)), rtol=1e-5)
    joined = np.concatenate([x, elu(apply(arrays, f"{critic}/_action_layers/1", action))], axis=1)
    hidden = elu(apply(arrays, f"{critic}/_joint_layers/1", joined))
    value = apply(arrays, f"{critic}/_joint_layers/2", hidden)[:, 0]
    np.testing.assert_allclose(found["q1"], value, rtol=1e-5, atol=1e-5)


def test_a_sequential_policy_of_ppo_has_its_deviation_in_a_nested_map() -> None:
    layers = "_actor_net/_sequential_layers"
    deviation = np.array([0.3, -0.7])
    arrays = {
        **dense(f"{layers}/0", 4, 6),
        **dense(f"{layers}/1", 6, 2),
        f"agent/{layers}/3/_nested_layers/scale/_sequential_layers/0/bias": deviation,
    }
    x = observations(4)

    found = outputs(built(arrays, action_low=[-1.0, 0.0], action_high=[1.0, 4.0]), x)

    inside = np.tanh(apply(arrays, f"{layers}/1", np.tanh(apply(arrays, f"{layers}/0", x))))
    np.testing.assert_allclose(found["mean"], inside * [1, 2] + [0, 2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["std"], np.log1p(np.exp(deviation)) + np.zeros((3, 2)))


def test_a_moving_average_normalizes_observations() -> None:
    layers = "_actor_net/_sequential_layers"
    mean, variance = RANDOM.normal(size=4), RANDOM.uniform(0.5, 2, size=4)
    arrays = {
        **dense(f"{layers}/0", 4, 3),
        "agent/_observation_normalizer/_mean_moving_avg/0": mean,
        "agent/_observation_normalizer/_var_moving_avg/0": variance,
    }
    x = 9 * observations(4)

    found = outputs(built(arrays), x)["normalized_observation"]

    by_hand = np.clip((x - mean) / np.sqrt(variance + 1e-3), -5, 5)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-5)
    assert np.abs(by_hand).max() == 5


@pytest.mark.parametrize(
    "further",
    [
        {"agent/_q_network/_lstm_encoder/cell/kernel": np.ones((4, 8))},
        {"agent/_q_network/_encoder/_postprocessing_layers/2/kernel": np.ones((3, 3, 4, 4))},
        {"agent/_observation_normalizer/_avg/1": np.ones(4)},
    ],
    ids=["recurrent", "convolution", "several parts"],
)
def test_what_is_no_dense_layer_is_refused(further: Arrays) -> None:
    arrays = {
        **dense("_q_network/_encoder/_postprocessing_layers/1", 4, 8),
        **dense("_q_network/_q_value_layer", 8, 2),
        **further,
    }

    with pytest.raises(UnsupportedError) as refused:
        built(arrays)

    assert "PolicySaver" in str(refused.value.hint)


@pytest.mark.parametrize("low", [None, [-1.0], "low"], ids=["missing", "fewer", "text"])
def test_bounds_of_unequal_length_are_refused(low: object) -> None:
    arrays = dense("_q_network/_q_value_layer", 8, 2)

    with pytest.raises(UnsupportedError, match="not two lists of as many numbers"):
        built(arrays, action_low=low, action_high=[1.0, 1.0])


def test_the_last_layer_of_a_sequential_network_gives_the_action_values() -> None:
    layers = "_q_network/_sequential_layers"
    arrays = {
        **dense(f"{layers}/0", 4, 6),
        **dense(f"{layers}/2", 6, 5),
        **dense(f"{layers}/3", 5, 3),
    }
    x = observations(4)

    found = outputs(built(arrays), x)

    for place in (0, 2):
        x = np.maximum(apply(arrays, f"{layers}/{place}", x), 0)
    by_hand = apply(arrays, f"{layers}/3", x)
    np.testing.assert_allclose(found["q_values"], by_hand, rtol=1e-5, atol=1e-5)
    assert found["deterministic_action"].tolist() == by_hand.argmax(axis=-1).tolist()


def test_normalized_batches_in_a_sequential_network_are_refused_by_name() -> None:
    layers = "_q_network/_sequential_layers"
    arrays = {**dense(f"{layers}/0", 4, 6), **dense(f"{layers}/2", 6, 3)}
    arrays |= {f"agent/{layers}/1/{role}": np.ones(6) for role in ("gamma", "beta")}

    with pytest.raises(UnsupportedError, match="_sequential_layers/1/gamma"):
        built(arrays)


def below(root: str, arrays: Arrays) -> Arrays:
    """Return the arrays of an agent below another name."""
    return {f"{root}/{name.removeprefix('agent/')}": values for name, values in arrays.items()}


ENCODER = "_actor_network/_encoder/_postprocessing_layers/1"
HEAD = "_actor_network/_projection_networks/_projection_layer"


def test_the_last_layer_of_a_policy_without_its_agent_may_be_of_either_kind() -> None:
    arrays = below("policy/_wrapped_policy", {**dense(ENCODER, 4, 6), **dense(HEAD, 6, 4)})

    with pytest.raises(
        AmbiguousTargetError, match="scores of as many actions, or means and dev"
    ) as asked:
        built(arrays)

    assert "--set actions=discrete" in str(asked.value.hint)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"actions": "discrete"}, {"logits", "deterministic_action"}),
        ({"actions": "continuous"}, {"mean", "std", "squashed_action"}),
        (
            {"action_low": [-1.0, 0.0], "action_high": [1.0, 2.0]},
            {"mean", "std", "squashed_action", "deterministic_action"},
        ),
    ],
    ids=["discrete", "continuous", "bounds"],
)
def test_what_is_stated_of_the_actions_of_a_policy_is_taken(
    given: dict[str, object], names: set[str]
) -> None:
    arrays = below("policy/_wrapped_policy", {**dense(ENCODER, 4, 6), **dense(HEAD, 6, 4)})

    found = outputs(built(arrays, **given), observations(4))

    assert set(found) == names


def test_an_odd_last_layer_scores_actions() -> None:
    arrays = below("policy", {**dense(ENCODER, 4, 6), **dense(HEAD, 6, 3)})

    assert set(outputs(built(arrays), observations(4))) == {"logits", "deterministic_action"}


def test_another_kind_of_actions_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="actions=several") as refused:
        built({**dense(ENCODER, 4, 6), **dense(HEAD, 6, 4)}, actions="several")

    assert refused.value.hint == "one of discrete, continuous"


def test_several_agents_in_one_file_are_not_chosen_among() -> None:
    one = {
        **dense("_q_network/_encoder/_postprocessing_layers/1", 4, 8),
        **dense("_q_network/_q_value_layer", 8, 2),
    }

    with pytest.raises(AmbiguousTargetError, match="'red/' and 'blue/' both have q_network"):
        built({**below("red", one), **below("blue", one)})


def test_an_actor_of_behavioral_cloning_squashes_its_actions() -> None:
    arrays = {
        **dense("_cloning_network/_mlp_layers/1", 12, 6),
        **dense("_cloning_network/_mlp_layers/2", 6, 2),
    }
    x = observations(12)

    found = outputs(built(arrays), x.reshape(3, 3, 4))  # ActorNetwork begins with Flatten

    hidden = np.maximum(apply(arrays, "_cloning_network/_mlp_layers/1", x), 0)
    by_hand = np.tanh(apply(arrays, "_cloning_network/_mlp_layers/2", hidden))
    np.testing.assert_allclose(found["squashed_action"], by_hand, rtol=1e-5, atol=1e-5)


def test_a_network_that_predicts_rewards_gives_a_value_for_every_action() -> None:
    layers = ("_reward_network/_encoder/_postprocessing_layers/1", "_reward_network/_q_value_layer")
    arrays = {**dense(layers[0], 4, 6), **dense(layers[1], 6, 3)}
    x = observations(4)

    found = outputs(built(arrays), x)

    by_hand = apply(arrays, layers[1], np.maximum(apply(arrays, layers[0], x), 0))
    np.testing.assert_allclose(found["q_values"], by_hand, rtol=1e-5, atol=1e-5)


def test_attributes_of_other_peoples_objects_are_not_taken_for_an_agents() -> None:
    assert not recognizes(
        ["model/_q_network/layer_with_weights-0/kernel", "q_network/dense/kernel"]
    )
    assert recognizes(["mine/_q_network/_encoder/_postprocessing_layers/1/kernel"])
