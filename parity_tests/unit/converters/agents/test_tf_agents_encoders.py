"""TF-Agents' networks with an LSTM or convolutions by the attributes that hold them; formulas are worked out in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.agents.tf_agents import plan
from converters.errors import UnsupportedError
from converters.live.build import build_model
from converters.readers.pickles.holding import array_info

UNITS = 3
Arrays = dict[str, NDArray[Any]]


def arrays_of(**shapes: tuple[int, ...]) -> Arrays:
    """Return kernels of these shapes by the paths of their layers, with `__` for slashes, and biases."""
    random = np.random.default_rng(13)
    found = {}
    for name, shape in shapes.items():
        path = f"agent/{name.replace('__', '/')}"
        found[f"{path}/kernel"] = random.normal(size=shape)
        found[f"{path}/bias"] = random.normal(size=shape[-1])
        if path.endswith("/cell"):
            found[f"{path}/recurrent_kernel"] = random.normal(size=(UNITS, 4 * UNITS))
    return found


def built(arrays: Arrays, **given: object) -> Any:
    infos = {name: array_info(name, values) for name, values in arrays.items()}
    found: Mapping[str, Any] = {name: info for name, info in infos.items() if info is not None}
    network, rule, name = plan(found, AgentFacts("tf-agents", given=given))
    state = {
        move.target: torch.from_numpy(np.array(move.layout.apply(move.source.read()), np.float32))
        for move in network.moves
    }
    return build_model(network.architecture(name, rule, "float32"), state)


def dense(arrays: Arrays, path: str, x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(x @ arrays[f"agent/{path}/kernel"] + arrays[f"agent/{path}/bias"])


def lstm(arrays: Arrays, path: str, x: NDArray[Any], states: Any) -> tuple[NDArray[Any], ...]:
    """Return hidden values and cell after a step of Keras's LSTM: gates input, forget, cell, output."""
    hidden, cell = states
    gates = dense(arrays, path, x) + hidden @ arrays[f"agent/{path}/recurrent_kernel"]
    entry, forget, candidate, output = np.split(gates, 4, axis=-1)
    sigmoid = [1 / (1 + np.exp(-gate)) for gate in (entry, forget, output)]
    cell = sigmoid[1] * cell + sigmoid[0] * np.tanh(candidate)
    return sigmoid[2] * np.tanh(cell), cell


def tensors(*arrays: NDArray[Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]


def test_q_network_with_an_lstm_begins_anew_where_the_mask_says_so() -> None:
    arrays = arrays_of(
        _q_network___input_encoder___postprocessing_layers__1=(5, 4),
        _q_network___lstm_network__cell=(4, 4 * UNITS),
        _q_network___output_encoder__0=(UNITS, 6),
        _q_network___output_encoder__1=(6, 2),
    )
    random = np.random.default_rng(14)
    x, hidden, cell = (random.normal(size=(3, size)) for size in (5, UNITS, UNITS))
    mask = np.array([0.0, 1.0, 0.0])

    agent = built(arrays)
    with torch.no_grad():
        found = agent(*tensors(x, hidden, cell, mask))

    goes_on = (1 - mask)[:, None]
    features = np.maximum(dense(arrays, "_q_network/_input_encoder/_postprocessing_layers/1", x), 0)
    states = (hidden * goes_on, cell * goes_on)
    h, c = lstm(arrays, "_q_network/_lstm_network/cell", features, states)
    behind = np.maximum(dense(arrays, "_q_network/_output_encoder/0", h), 0)
    wanted = dense(arrays, "_q_network/_output_encoder/1", behind)
    for name, values in {"q_values": wanted, "state_out_0": h, "state_out_1": c}.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-4, atol=1e-5)
    action, kept = agent.act(x, (hidden, cell), mask)
    np.testing.assert_array_equal(action, wanted.argmax(-1))
    np.testing.assert_allclose(kept[1], c, rtol=1e-4, atol=1e-5)


def test_policy_and_value_have_states_of_their_own() -> None:
    arrays = arrays_of(
        _actor_net___lstm_encoder___lstm_network__cell=(5, 4 * UNITS),
        _actor_net___projection_networks___projection_layer=(UNITS, 2),
        _value_net___lstm_encoder___lstm_network__cell=(5, 4 * UNITS),
        _value_net___lstm_encoder___output_encoder__0=(UNITS, 4),
        _value_net___postprocessing_layers=(4, 1),
    )
    random = np.random.default_rng(15)
    x, *states = (random.normal(size=(3, size)) for size in (5, *(4 * [UNITS])))

    with torch.no_grad():
        found = built(arrays)(*tensors(x, *states[:2], np.zeros(3), *states[2:]))

    h, _ = lstm(arrays, "_actor_net/_lstm_encoder/_lstm_network/cell", x, states[:2])
    logits = dense(arrays, "_actor_net/_projection_networks/_projection_layer", h)
    h, c = lstm(arrays, "_value_net/_lstm_encoder/_lstm_network/cell", x, states[2:])
    behind = np.maximum(dense(arrays, "_value_net/_lstm_encoder/_output_encoder/0", h), 0)
    value = dense(arrays, "_value_net/_postprocessing_layers", behind)[:, 0]
    wanted = {"logits": logits, "value": value, "value_state_out_1": c}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-4, atol=1e-5)


def test_convolutions_have_the_strides_that_are_stated_and_no_padding() -> None:
    arrays = arrays_of(
        _q_network___encoder___postprocessing_layers__0=(3, 2, 2, 4),
        _q_network___encoder___postprocessing_layers__2=(8, 5),
        _q_network___q_value_layer=(5, 3),
    )
    x = np.random.default_rng(16).normal(size=(3, 5, 3, 2))

    with torch.no_grad():
        found = built(arrays, strides=[2])(*tensors(x))

    kernel = arrays["agent/_q_network/_encoder/_postprocessing_layers/0/kernel"]
    bias = arrays["agent/_q_network/_encoder/_postprocessing_layers/0/bias"]
    rows = [np.tensordot(x[:, top : top + 3, :2], kernel, 3) + bias for top in (0, 2)]
    features = np.maximum(np.concatenate(rows, axis=-1), 0)  # two rows of one column, channels last
    hidden = dense(arrays, "_q_network/_encoder/_postprocessing_layers/2", features)
    wanted = dense(arrays, "_q_network/_q_value_layer", np.maximum(hidden, 0))
    np.testing.assert_allclose(found["q_values"].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_an_actor_with_an_lstm_keeps_its_states_and_leaves_the_critics_out() -> None:
    arrays = arrays_of(
        _actor_network___input_layers__1=(5, 4),
        _actor_network___dynamic_unroll__cell=(4, 4 * UNITS),
        _actor_network___output_layers__1=(UNITS, 6),
        _actor_network___action_layers__0=(6, 2),
        _critic_network___joint_layers__1=(7, 4),
        _critic_network___lstm_network__cell=(4, 4 * UNITS),
        _critic_network___output_layers__1=(UNITS, 1),
    )
    random = np.random.default_rng(17)
    x, *states = (random.normal(size=(3, size)) for size in (5, UNITS, UNITS))

    with torch.no_grad():
        found = built(arrays)(*tensors(x, *states, np.zeros(3)))

    before = np.maximum(dense(arrays, "_actor_network/_input_layers/1", x), 0)
    h, c = lstm(arrays, "_actor_network/_dynamic_unroll/cell", before, states)
    behind = np.maximum(dense(arrays, "_actor_network/_output_layers/1", h), 0)
    action = np.tanh(dense(arrays, "_actor_network/_action_layers/0", behind))
    wanted = {"squashed_action": action, "state_out_0": h, "state_out_1": c}
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-4, atol=1e-5)


def test_actor_and_critic_of_images_convolve_before_their_dense_layers() -> None:
    arrays = arrays_of(
        _actor_network___mlp_layers__0=(3, 2, 2, 4),
        _actor_network___mlp_layers__2=(8, 2),
        _critic_network___observation_layers__0=(3, 2, 2, 4),
        _critic_network___observation_layers__2=(8, 5),
        _critic_network___joint_layers__1=(7, 1),
    )
    random = np.random.default_rng(18)
    x, action = random.normal(size=(3, 5, 3, 2)), random.normal(size=(3, 2))

    with torch.no_grad():
        found = built(arrays, strides=[2])(*tensors(x, action))

    def features(path: str) -> NDArray[Any]:
        kernel, bias = arrays[f"agent/{path}/kernel"], arrays[f"agent/{path}/bias"]
        rows = [np.tensordot(x[:, top : top + 3, :2], kernel, 3) + bias for top in (0, 2)]
        return np.maximum(np.concatenate(rows, axis=-1), 0)

    best = np.tanh(
        dense(arrays, "_actor_network/_mlp_layers/2", features("_actor_network/_mlp_layers/0"))
    )
    place = "_critic_network/_observation_layers"
    seen = np.maximum(dense(arrays, f"{place}/2", features(f"{place}/0")), 0)
    value = dense(arrays, "_critic_network/_joint_layers/1", np.concatenate([seen, action], 1))
    np.testing.assert_allclose(found["squashed_action"].numpy(), best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["q1"].numpy(), value[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("given", [{}, {"strides": [2, 1]}], ids=["unstated", "too-many"])
def test_strides_are_asked_for(given: dict[str, object]) -> None:
    arrays = arrays_of(
        _q_network___encoder___postprocessing_layers__0=(3, 2, 2, 4),
        _q_network___encoder___postprocessing_layers__2=(8, 5),
        _q_network___q_value_layer=(5, 3),
    )

    with pytest.raises(UnsupportedError, match="1 convolutions, whose strides") as raised:
        built(arrays, **given)
    assert "--set strides" in str(raised.value.hint)
