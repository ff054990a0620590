# %% [markdown]
# # Offline reinforcement learning without d3rlpy: insulin doses from recorded days
#
# The notebook that the offline migration guide grew out of, running from top to bottom: collect episodes, train DQN and
# behavioural cloning, evaluate them beside a random policy, save, load. It says what the first task can and cannot
# show, and does the same on one where policies differ. Nothing here is a model for treatment.
#
# `QUICK=1` in the environment makes everything small, which is how the tests run it.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
from experience.datasets import load_episodes, write_dataset
from experience.environments.glucose import (
    GlucoseMealsEnv,
    SimglucoseGymEnv,
    behaviour_policy,
    collect_episodes,
)
from experience.evaluation import Predictor, evaluate_policy
from experience.off_policy_evaluation import (
    discounted_returns,
    greedy_probabilities,
    importance_sampling,
)
from experience.offline_data import Episode, ReplayBuffer, make_episode
from experience.offline_training import train_offline
from experience.recording import greedy_policy, record_episodes
from gymnasium import Env
from torch_impl.fitted_q_evaluation import FittedQEvaluation
from torch_impl.offline_cloning import BehavioralCloning
from torch_impl.offline_dqn import DiscreteCQL, OfflineDQN

QUICK = os.environ.get("QUICK") == "1"
STEPS = 300 if QUICK else 5_000
EPISODES = 4 if QUICK else 20
TESTS = 2 if QUICK else 10
FOLDER = Path(tempfile.mkdtemp())

# %% [markdown]
# ## 1. Collect
#
# 20 episodes of 480 steps are 9,600 transitions. The "moderate" behaviour takes action 1 in six of ten steps.

# %%
episodes = collect_episodes("moderate", EPISODES, seed=0)
buffer = ReplayBuffer(episodes)
print(len(episodes), "episodes,", len(buffer), "transitions")
assert len(buffer) == EPISODES * 480
batch = buffer.sample(64, np.random.default_rng(0))
print("a batch:", batch.observation.shape, batch.action.dtype, batch.reward.dtype)

# %% [markdown]
# ## 2. Train
#
# The learning rate is the notebook's, 1e-3; everything else is the guide's. `train_offline` draws a batch, calls
# `agent.update` and copies the target network every 100 updates. A whole update is in the docstring of
# `torch_impl/offline_dqn.py`.

# %%
dqn = OfflineDQN(obs_dim=1, action_dim=3, lr=1e-3)
cloned = BehavioralCloning(obs_dim=1, action_dim=3, lr=1e-3)
for agent in (dqn, cloned):
    result = train_offline(agent, buffer, steps=STEPS, generator=np.random.default_rng(0))
    print(type(agent).__name__, {k: round(v, 4) for k, v in result.history[-1].items()})

# %% [markdown]
# ## 3. Evaluate against a random policy


# %%
class Chance:
    """Acts at random."""

    def __init__(self, actions: int) -> None:
        self.actions, self.rng = actions, np.random.default_rng(0)

    def predict(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(self.rng.integers(self.actions))


def show(environment: Env, policies: dict[str, Predictor]) -> dict[str, float]:
    means = {}
    for name, policy in policies.items():
        found = evaluate_policy(policy, environment, n_episodes=TESTS)
        means[name] = found.mean_return
        print(f"{name:20} {found.mean_return:8.1f} +- {found.std_return:.1f}")
    return means


first = show(SimglucoseGymEnv(), {"random": Chance(3), "DQN": dqn, "cloned": cloned})

# %% [markdown]
# All about the same, and that is no fault of the algorithms: every dose lowers glucose and nothing raises it, so whatever is done it falls to
# the floor of 40 and stays. Between always giving the least and always giving the most there are 8.5 points of 380. "Improved over
# random" cannot be shown here.

# %%
assert max(first.values()) - min(first.values()) < 0.05 * abs(first["random"])

# %% [markdown]
# ## 4. Save and load
#
# One file; the optimizer is in it, so training goes on where it stopped.

# %%
dqn.save(FOLDER / "dqn")
loaded = OfflineDQN.load(FOLDER / "dqn")
rows = np.linspace(40, 300, 50, dtype=np.float32)[:, None]
assert (loaded.predict(rows) == dqn.predict(rows)).all()
print("the loaded agent acts alike:", loaded.predict(rows[::10]))

# %% [markdown]
# ## 5. A day with meals
#
# `GlucoseMealsEnv` has three meals a day, insulin that takes time and a body that corrects by itself. Too little insulin is as wrong as too
# much, so policies differ by more than twice. The data are of a random policy, stored as a Minari data set in a folder.

# %%
environment = GlucoseMealsEnv()
recording = record_episodes(
    behaviour_policy("random", environment), environment, episodes=EPISODES, seed=0
)
write_dataset(
    "glucose/random-v0",
    recording.episodes,
    environment="torchward/GlucoseMeals-v0",
    algorithm="random",
    seeds=recording.seeds,
    root=FOLDER,
)
data = load_episodes("glucose/random-v0", root=FOLDER)
meals = ReplayBuffer(data)
print(len(meals), "transitions; mean return of the data", round(recording.returns.mean(), 1))

# %%
settings = {"lr": 1e-3, "batch_size": 64, "hidden_sizes": (64, 64), "target_update_freq": 100}
agents = {
    "DQN": OfflineDQN(4, 3, **settings, gamma=0.95),
    "CQL": DiscreteCQL(4, 3, **settings, gamma=0.95, alpha=0.1),
    "cloned": BehavioralCloning(4, 3, lr=1e-3, hidden_sizes=(64, 64), batch_size=64),
}
for agent in agents.values():
    train_offline(agent, meals, steps=STEPS, generator=np.random.default_rng(0))
second = show(environment, {"random": Chance(3), **agents})
if not QUICK:
    assert second["DQN"] > 0.8 * second["random"]  # returns are negative: less is better

# %% [markdown]
# Cloning a random policy gives whatever action it happened to see most; DQN and CQL learn from its rewards.
#
# ## 6. What would it earn? Estimates without playing
#
# Fitted Q evaluation learns the values of the new policy from the old data. Importance sampling weights what happened; after
# a few steps hardly an episode speaks for the new policy, which `effective_episodes` shows. The true return stands beside them,
# because here we can play.

# %%
discount = 0.9
agent = agents["CQL"]
played = record_episodes(greedy_policy(agent), environment, episodes=TESTS, seed=900).episodes
starts = np.stack([episode.observations[0] for episode in played])
evaluation = FittedQEvaluation(
    agent.predict, meals, gamma=discount, actions=3, target_update_freq=40, hidden_sizes=(64, 64)
)
evaluation.fit(STEPS // 2)
print("true, played       ", round(discounted_returns(played, discount=discount).mean(), 2))
print("fitted Q evaluation", round(evaluation.estimate(starts), 2))


def first_steps(episode: Episode, steps: int = 2) -> Episode:
    ends = [False] * (steps - 1)
    return make_episode(
        episode.observations[: steps + 1],
        episode.actions[:steps],
        episode.rewards[:steps],
        [False] * steps,
        [*ends, True],
    )


estimate = importance_sampling(
    [first_steps(episode) for episode in data],
    lambda _, actions: np.full(len(actions), 1 / 3),
    greedy_probabilities(agent.predict, actions=3),
    discount=discount,
)
short = discounted_returns([first_steps(e) for e in played], discount=discount).mean()
print("true, first 2 steps", round(short, 2))
print(
    f"importance sampling {estimate.value:.2f} +- {estimate.standard_error:.2f}, "
    f"{estimate.effective_episodes:.1f} of {estimate.episodes} episodes speak for it"
)
