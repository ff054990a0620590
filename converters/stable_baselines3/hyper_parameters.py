"""Hyper-parameters of stable-baselines 2 by their names in stable_baselines3."""

from __future__ import annotations

from collections.abc import Mapping


def _alike(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_OFF_POLICY = (
    "gamma",
    "learning_rate",
    "buffer_size",
    "learning_starts",
    "batch_size",
    "train_freq",
)
NAMES: Mapping[str, Mapping[str, str]] = {
    "PPO": {
        **_alike("gamma", "learning_rate", "n_steps", "ent_coef", "vf_coef", "max_grad_norm"),
        "lam": "gae_lambda",
        "cliprange": "clip_range",
        "noptepochs": "n_epochs",
    },
    "A2C": {
        **_alike("gamma", "learning_rate", "n_steps", "ent_coef", "vf_coef", "max_grad_norm"),
        "epsilon": "rms_prop_eps",
    },
    "DQN": {
        **_alike(*_OFF_POLICY, "exploration_fraction"),
        **_alike("exploration_initial_eps", "exploration_final_eps"),
        "target_network_update_freq": "target_update_interval",
    },
    "SAC": _alike(*_OFF_POLICY, "tau", "gradient_steps", "target_update_interval", "ent_coef"),
    "TD3": {
        **_alike(*_OFF_POLICY, "tau", "gradient_steps", "policy_delay"),
        **_alike("target_policy_noise", "target_noise_clip"),
    },
    "DDPG": {
        "actor_lr": "learning_rate",
        "memory_limit": "buffer_size",
        **_alike("gamma", "buffer_size", "batch_size", "tau"),
    },
}
"""Algorithm to old name and new name."""
WHOLE = ("n_steps", "n_epochs", "buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps",
         "target_update_interval", "policy_delay")  # fmt: skip


def arguments_of(
    algorithm: str, settings: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """Return the arguments of an algorithm of stable_baselines3 as far as the settings are numbers, and notes."""
    result: dict[str, object] = {}
    kept_default = []
    for old, new in NAMES[algorithm].items():
        value = settings.get(old)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            result[new] = int(value) if new in WHOLE else float(value)
        elif old == "ent_coef" and isinstance(value, str) and value.startswith("auto"):
            result[new] = value
        elif value is not None and old in settings:
            kept_default.append(old)
    if algorithm == "PPO":
        result |= _batch_size(settings)
    notes = []
    if kept_default:
        names = ", ".join(kept_default)
        notes.append(
            f"{names}: functions in the file, which are not run; stable_baselines3's defaults are taken"
        )
    return result, notes


def _batch_size(settings: Mapping[str, object]) -> dict[str, object]:
    """Return PPO2's minibatch, which it states as their number, in transitions."""
    numbers = [settings.get(name) for name in ("n_envs", "n_steps", "nminibatches")]
    found = [value for value in numbers if isinstance(value, int) and value > 0]
    if len(found) != len(numbers):
        return {}
    size = found[0] * found[1] // found[2]
    return {"batch_size": size} if size > 1 else {}
