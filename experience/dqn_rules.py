"""What the DQN agents of both frameworks do in numpy: check their settings, explore, explain an action.

One copy, so that the two sides cannot differ in it. Nothing in here knows a framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIFFICULTIES = ("Beginner", "Elementary", "Intermediate", "Advanced", "Expert")
LOSSES = ("mse", "huber")
DTYPES = ("float32", "float64")


def check_settings(settings: Mapping[str, Any]) -> None:  # Any: arguments of several types
    """Raise one ValueError with every argument of a DQNAgent that is out of range."""
    s = settings
    sizes = (s["state_size"], s["action_size"], len(s["hidden_sizes"]), *s["hidden_sizes"])
    shares = ("gamma", "epsilon", "epsilon_min", "epsilon_decay")
    # With one rate for all, it is wrong even where there is no layer for it.
    single = [s["dropout"]] if isinstance(s["dropout"], (int, float)) else []
    rates = [*dropout_rates(s["dropout"], s["hidden_sizes"]).values(), *single]
    clip = s["gradient_clip"]
    rules = {
        "state_size, action_size and every hidden size must be at least 1": min(sizes) >= 1,
        "dropout must be in [0, 1)": all(0 <= rate < 1 for rate in rates),
        f"{', '.join(shares)} must be in [0, 1]": all(0 <= s[name] <= 1 for name in shares),
        "learning_rate must be positive": s["learning_rate"] > 0,
        "batch_size must be in [1, memory_size]": 1 <= s["batch_size"] <= s["memory_size"],
        "gradient_clip must be positive or None": clip is None or clip > 0,
        f"loss must be one of {', '.join(LOSSES)}": s["loss"] in LOSSES,
        f"dtype must be one of {', '.join(DTYPES)}": s["dtype"] in DTYPES,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        msg = f"{'; '.join(broken)}; found {dict(settings)}"
        raise ValueError(msg)


def dropout_rates(
    dropout: float | Sequence[float], hidden_sizes: Sequence[int]
) -> dict[str, float]:
    """Return the rate of "dropout1", "dropout2", ...: one layer after every hidden layer but the last.

    Args:
        dropout: one rate for all, or one for each.
        hidden_sizes: units of the hidden layers.

    Raises:
        ValueError: The number of rates is another one.
    """
    count = max(len(hidden_sizes) - 1, 0)
    rates = [float(dropout)] * count if isinstance(dropout, (int, float)) else list(dropout)
    if len(rates) != count:
        msg = f"{len(rates)} rates of dropout for {count} layers of it"
        raise ValueError(msg)
    return {f"dropout{index}": rate for index, rate in enumerate(rates, start=1)}


def empty_history() -> dict[str, list[float]]:
    """Return the record that a training loop adds one figure to after every episode, under each name."""
    return {"rewards": [], "lengths": [], "losses": [], "epsilons": []}


def choose_actions(
    greedy: Callable[[], NDArray[np.int64]],
    rows: int,
    action_size: int,
    epsilon: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return epsilon-greedy actions, (rows,).

    The draws do not depend on their outcome: both sides stay in step although their values differ in the last bit.

    Args:
        greedy: gives the best actions, (rows,); called only if one of them is needed.
        rows: number of observations.
        action_size: number of actions.
        epsilon: probability of a random action.
        rng: gives `rows` floats, then `rows` integers.
    """
    if rows == 1:  # the same draws as in arrays of one, at a fifth of their time
        explores, drawn = rng.random() <= epsilon, rng.integers(action_size)
        return np.array([drawn]) if explores else greedy()
    random = rng.random(rows) <= epsilon
    action = rng.integers(action_size, size=rows)
    return action if random.all() else np.where(random, action, greedy())


def explain_action(q_values: NDArray[np.floating], epsilon: float) -> dict[str, object]:
    """Return the best action of one state and why.

    Args:
        q_values: (actions,).
        epsilon: present exploration rate.

    Returns:
        "action"; "difficulty", its name ("Level 6" beyond the five named ones); "q_values"; "confidence", the
        action's value over the mean of all; "exploration_rate".

    Raises:
        ValueError: The values are those of several states.
    """
    if q_values.ndim != 1:
        msg = f"values of shape {q_values.shape}; needed those of one state, (actions,)"
        raise ValueError(msg)
    action = int(np.argmax(q_values))
    named = action < len(DIFFICULTIES)
    return {
        "action": action,
        "difficulty": DIFFICULTIES[action] if named else f"Level {action + 1}",
        "q_values": q_values.tolist(),
        "confidence": float(q_values[action] - q_values.mean()),
        "exploration_rate": epsilon,
    }
