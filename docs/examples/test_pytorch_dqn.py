"""Tries the PyTorch DQN agent from end to end, step by step, and says what it sees.

    python docs/examples/test_pytorch_dqn.py [--device cuda]

The migration guide has a script of this name, whose memory holds fewer transitions than a batch, so that its
training step is never run. Here it is, and it has to change the weights. The exit status is 1 if anything is wrong.
"""
# ruff: noqa: T201  this is a script for people: it prints

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experience.dqn_rules import DIFFICULTIES
from torch_impl.devices import find_device
from torch_impl.dqn import DQNAgent

STATE_SIZE, ACTION_SIZE = 12, 5
PARAMETERS = 12_165
STORED = 64
"""Transitions in memory: more than a batch of 32, or nothing would be trained."""


class CheckFailedError(Exception):
    """Something is not as it must be."""


def check(condition: bool, what: str) -> None:
    """Raise CheckFailedError with `what` unless the condition holds."""
    if not condition:
        raise CheckFailedError(what)


def draw_state(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random learner: (12,), in the ranges of the vocabulary environment."""
    state = rng.random(STATE_SIZE, dtype=np.float32)
    # Level, words seen, streak, hours since the last session, difficulty.
    state[[0, 1, 4, 5, 11]] *= np.array([10, 100, 20, 168, 5], dtype=np.float32)
    return state


def show_agent(device: str) -> DQNAgent:
    """Make the agent and check its size."""
    print(f"PyTorch version: {torch.__version__}")
    print(f"CUDA available: {torch.cuda.is_available()}")
    print("Creating the DQN agent ...")
    agent = DQNAgent(STATE_SIZE, ACTION_SIZE, device=device)
    parameters = sum(parameter.numel() for parameter in agent.q_network.parameters())
    print("Agent created.")
    print(f"   state size {STATE_SIZE}, actions {ACTION_SIZE}")
    print(f"   device: {agent.get_device_info()['device_type']}")
    print(f"   model parameters: {parameters:,}")
    print(agent.q_network)
    check(parameters == PARAMETERS, f"needed {PARAMETERS:,} parameters")
    return agent


def try_actions(agent: DQNAgent, rng: np.random.Generator) -> None:
    """Evaluate one state, choose its best action, and explore."""
    state = draw_state(rng)
    values = agent.get_q_values(state)
    print(f"Forward pass: {values.shape}, Q values {np.array2string(values, precision=3)}")
    check(values.shape == (ACTION_SIZE,), f"needed Q values of shape ({ACTION_SIZE},)")
    check(bool(np.isfinite(values).all()), "a Q value is not finite")
    greedy = int(agent.act(state, rng, explore=False))
    print(f"Greedy action: {greedy} ({DIFFICULTIES[greedy]})")
    check(greedy == int(np.argmax(values)), "the greedy action has not the highest value")
    agent.epsilon = 0.5
    actions = [int(agent.act(draw_state(rng), rng, explore=True)) for _ in range(20)]
    print(f"20 actions with epsilon 0.5: {actions}")
    check(set(actions) <= set(range(ACTION_SIZE)), "an action is out of range")


def try_training(agent: DQNAgent, rng: np.random.Generator) -> None:
    """Fill the memory beyond a batch, train once, and see the weights change."""
    for count in range(STORED):
        if count == agent.batch_size - 1:
            check(agent.replay(rng) == 0.0, "trained with less than a batch")
        action, reward = int(rng.integers(ACTION_SIZE)), float(rng.normal())
        agent.remember(draw_state(rng), action, reward, draw_state(rng), count % 20 == 19)
    print(f"Memory: {len(agent.memory)} transitions; a batch has {agent.batch_size}")
    before, epsilon = agent.get_weights(), agent.epsilon
    loss = agent.replay(rng)
    changed = [
        name for name, w in agent.get_weights().items() if not np.array_equal(w, before[name])
    ]
    print(f"Training step: loss {loss:.4f}; {len(changed)} of {len(before)} weight arrays changed")
    check(np.isfinite(loss) and loss > 0, "the loss is not a positive number")
    check(len(changed) == len(before), "the training step left weights as they were")
    check(agent.epsilon < epsilon, "epsilon has not decayed")


def try_saving(agent: DQNAgent, rng: np.random.Generator, folder: Path) -> None:
    """Save, load into a new agent, and compare values and the next training step."""
    agent.save(folder / "test_dqn")
    loaded = DQNAgent.load(folder / "test_dqn", device=str(agent.device))
    state = draw_state(rng)
    match = np.array_equal(agent.get_q_values(state), loaded.get_q_values(state))
    print(f"Saved and loaded: epsilon {loaded.epsilon:.4f}; Q values match: {match}")
    check(match, "the loaded agent has other Q values")
    check(loaded.epsilon == agent.epsilon, "the loaded agent has another epsilon")
    batch = agent.memory.sample(agent.batch_size, rng)
    match = agent.update(batch) == loaded.update(batch)
    print(f"Next training step matches: {match}")
    check(match, "the loaded agent trains on differently")


def main(arguments: list[str] | None = None) -> int:
    """Run all steps; return 0 if all is well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto: CUDA if there is one, else the CPU")
    device = parser.parse_args(arguments).device
    try:
        find_device(device)
    except ValueError as error:
        parser.error(str(error))
    rng = np.random.default_rng(0)
    try:
        agent = show_agent(device)
        try_actions(agent, rng)
        try_training(agent, rng)
        with tempfile.TemporaryDirectory() as folder:
            try_saving(agent, rng, Path(folder))
    except CheckFailedError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("All tests passed!")
    return 0


if __name__ == "__main__":
    sys.exit(main())
