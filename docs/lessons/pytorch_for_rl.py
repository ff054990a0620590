# %% [markdown]
# # PyTorch for reinforcement learning
#
# Lesson 2, four to six hours with the exercises. You need Python and NumPy ([what exactly](README.md#before-this-lesson)).
# Words you do not know are in the [glossary](GLOSSARY.md).
#
# At the end you can
#
# 1. say what a tensor is, and what it shares with a NumPy array;
# 2. compute with tensors, on a GPU if there is one;
# 3. let autograd differentiate, and check it by hand;
# 4. build networks from `torch.nn`;
# 5. explain what the computation graph is, and what `backward` does with it;
# 6. decide between PyTorch and NumPy in code of your own.
#
# Every number in this lesson is checked by an `assert` behind it: change a cell and see what breaks. Cells that begin with
# `if KERAS:` show the same in Keras; without TensorFlow they are skipped.

# %%
import importlib.util
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

print(f"PyTorch version: {torch.__version__}")
print(f"CUDA available: {torch.cuda.is_available()}")
if torch.cuda.is_available():
    print(f"CUDA device: {torch.cuda.get_device_name(0)}")

torch.manual_seed(42)
rng = np.random.default_rng(42)

KERAS = all(importlib.util.find_spec(name) for name in ("tensorflow", "keras"))
if KERAS:
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(42)
else:
    print("TensorFlow is not installed: the Keras cells are skipped.")

# %% [markdown]
# ## What PyTorch is
#
# Four things in one library:
#
# - **tensors**: arrays as in NumPy that may live on a GPU;
# - **autograd**: every operation on a tensor can be differentiated, without a formula of yours;
# - **modules**: layers, losses and optimizers, written with the two above;
# - a graph that is **built while the program runs**: `if`, `for` and the debugger work inside a network.
#
# Why that suits reinforcement learning: an algorithm is often a small change to a loss, and a loss is here a line of ordinary
# Python. A policy gradient needs the gradient of log π(a|s), a value function that of V(s), an actor-critic both, and all three
# come from the same `backward`. Large networks run on a GPU without another program.
#
# Where NumPy is the better tool: environments, replay memories, schedules, statistics. They need no gradient, and for small
# arrays NumPy's calls are cheaper.

# %% [markdown]
# ## 1. Tensors and NumPy arrays
#
# `from_numpy` **shares** memory with the array, `torch.tensor` **copies**. A tensor made in the first way changes with the array.

# %%
array = np.array([1, 2, 3, 4, 5])
shared, copied = torch.from_numpy(array), torch.tensor(array)
array[0] = 99

print(shared, copied)
assert shared.tolist() == [99, 2, 3, 4, 5]
assert copied.tolist() == [1, 2, 3, 4, 5]
assert np.shares_memory(shared.numpy(), array)

# %% [markdown]
# The way back shares as well: `tensor.numpy()`. It is often said that this "does not track gradients". For a tensor that
# requires a gradient it does more than that: it **raises**, so that no gradient is lost unseen. Say that you mean it with
# `detach()`.

# %%
weight = torch.tensor([1.0, 2.0], requires_grad=True)
try:
    weight.numpy()
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("numpy() should have refused")
assert weight.detach().numpy().tolist() == [1.0, 2.0]

# %%
if KERAS:  # TensorFlow always copies, and its tensors cannot be written to
    array = np.array([1, 2, 3])
    tensor = tf.constant(array)
    array[0] = 99
    assert tensor.numpy().tolist() == [1, 2, 3]

# %% [markdown]
# ## 2. Making tensors

# %%
made: dict[str, Tensor] = {
    "zeros": torch.zeros(3, 4),
    "ones": torch.ones(2, 3),
    "eye": torch.eye(4),
    "arange": torch.arange(0, 10, 2),
    "linspace": torch.linspace(0, 1, 5),
    "rand": torch.rand(3, 3),  # uniform in [0, 1)
    "randn": torch.randn(3, 3),  # standard normal
    "randint": torch.randint(0, 10, (3, 3)),  # 0 to 9
}
for name, tensor in made.items():
    print(f"{name:9}{tuple(tensor.shape)!s:8}{tensor.dtype}")
assert [tuple(tensor.shape) for tensor in made.values()] == [
    (3, 4), (2, 3), (4, 4), (5,), (5,), (3, 3), (3, 3), (3, 3),
]  # fmt: skip
assert made["arange"].tolist() == [0, 2, 4, 6, 8]
assert made["linspace"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
assert 0 <= made["rand"].min() and made["rand"].max() < 1
assert 0 <= made["randint"].min() and made["randint"].max() < 10

# %% [markdown]
# **dtype.** Whole numbers become int64, decimals float32; NumPy's decimals are float64 and stay so when they become a tensor.
# A network of float32 weights refuses them: the most frequent mistake at the border between environment and network.

# %%
assert torch.tensor([1, 2, 3]).dtype == torch.int64
assert torch.tensor([1, 2, 3], dtype=torch.float32).dtype == torch.float32
assert torch.tensor([1.0]).dtype == torch.float32
assert torch.from_numpy(np.array([1.0])).dtype == torch.float64

layer = nn.Linear(1, 1)
try:
    layer(torch.from_numpy(np.array([1.0])))
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("float64 into float32 weights should have failed")
assert layer(torch.from_numpy(np.array([1.0])).float()).shape == (1,)

# %% [markdown]
# ## 3. Computing with tensors

# %%
a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([10.0, 20.0, 30.0, 40.0])
assert (a + b).tolist() == [11, 22, 33, 44]
assert (a * b).tolist() == [10, 40, 90, 160]
assert (a**2).tolist() == [1, 4, 9, 16]

angles = torch.tensor([0, torch.pi / 2, torch.pi])
torch.testing.assert_close(torch.sin(angles), torch.tensor([0.0, 1.0, 0.0]))
torch.testing.assert_close(torch.exp(torch.tensor([1.0])), torch.tensor([2.7182818]))

# %% [markdown]
# `dim` names the axis that **disappears**. `argmax` without one counts through the flat tensor.

# %%
table = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
assert table.sum() == 21
assert table.sum(dim=0).tolist() == [5, 7, 9]
assert table.sum(dim=1).tolist() == [6, 15]
assert table.mean() == 3.5
assert table.max() == 6
assert table.argmax() == 5
assert table.argmax(dim=1).tolist() == [2, 2]

# %%
A, B = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
assert (A @ B).tolist() == [[19, 22], [43, 50]]
assert torch.equal(torch.mm(A, B), A @ B)
assert A.T.tolist() == [[1, 3], [2, 4]]

# %% [markdown]
# **In reinforcement learning**: the values of all actions in a whole batch of states are one product. Without hidden layers that
# is a linear Q-function: 32 states of 4 numbers, times 4 x 2 weights.

# %%
batch_size, state_dim, num_actions = 32, 4, 2
states, weights = torch.randn(batch_size, state_dim), torch.randn(state_dim, num_actions)
q_values = states @ weights
print(q_values[0])
assert q_values.shape == (32, 2)
torch.testing.assert_close(q_values[0, 1], sum(states[0, i] * weights[i, 1] for i in range(4)))

# %% [markdown]
# ## 4. Autograd
#
# A tensor with `requires_grad=True` is a variable. What is computed from it remembers how; `backward` follows that memory back
# and leaves the derivative in `grad`.

# %%
x = torch.tensor([2.0], requires_grad=True)
(x**2).backward()
assert x.grad is not None and x.grad.item() == 4  # 2x

x = torch.tensor([3.0], requires_grad=True)
(2 * x**3 + 3 * x**2 + 5).backward()
assert x.grad is not None and x.grad.item() == 72  # 6x² + 6x

# %%
if KERAS:  # TensorFlow records on a tape that you open yourself
    variable = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        y = 2 * variable**3 + 3 * variable**2 + 5
    assert tape.gradient(y, variable).numpy() == 72

# %% [markdown]
# **Gradients add up.** `backward` adds to `grad`; nothing clears it but you. That is useful for batches that do not fit into
# memory, and a mistake everywhere else. (A tape in TensorFlow gives a gradient once; nothing can add up.)

# %%
x = torch.tensor([1.0], requires_grad=True)
seen = []
for clear in (False, False, True):
    if clear and x.grad is not None:
        x.grad.zero_()
    (x**2).backward()
    assert x.grad is not None
    seen.append(x.grad.item())
assert seen == [2, 4, 2]

# %% [markdown]
# **Only numbers can be differentiated**: `backward` starts at a single number, so vectors are summed first. The sum does not mix
# the gradients: each element has its own.

# %%
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x**2).sum().backward()
assert x.grad is not None and x.grad.tolist() == [2, 4, 6]

# %% [markdown]
# **Policy gradient.** The loss −Σ log π(a|s) · R has the gradient −R with respect to each log-probability: descending it makes
# actions with high returns more probable. (The numbers are only for checking: a real log-probability is never above 0.)

# %%
log_probabilities = torch.tensor([0.5, -0.2, 0.1], requires_grad=True)
returns = torch.tensor([10.0, -5.0, 20.0])
(-(log_probabilities * returns).sum()).backward()
assert log_probabilities.grad is not None
assert log_probabilities.grad.tolist() == [-10, 5, -20]

# With a real policy the log-probabilities come out of a network; its last layer gets R · (π − chosen).
logits = torch.tensor([[1.0, 0.0, -1.0]], requires_grad=True)
(-(F.log_softmax(logits, dim=1)[0, 2] * 4.0)).backward()
assert logits.grad is not None
chosen = torch.tensor([[0.0, 0.0, 1.0]])
torch.testing.assert_close(logits.grad, 4.0 * (F.softmax(logits.detach(), dim=1) - chosen))

# %% [markdown]
# ## 5. The computation graph
#
# ```
# x (leaf) ── PowBackward ── SumBackward ── z
#    └──────────── gradients go back ───────┘
# ```
#
# Every result has a `grad_fn`, which knows the derivative of its own operation and who came before. Together they are a directed
# graph without cycles. `backward` walks it once, multiplying on the way (the chain rule), and then frees it.

# %%
x = torch.tensor([1.0, 2.0], requires_grad=True)
z = (x**2).sum()
chain, node = [], z.grad_fn
while node is not None:
    chain.append(type(node).__name__)
    node = node.next_functions[0][0] if node.next_functions else None
print(" <- ".join(chain))
assert [name.rstrip("0123456789") for name in chain] == [
    "SumBackward", "PowBackward", "AccumulateGrad",
]  # fmt: skip
assert x.is_leaf and not z.is_leaf

# %% [markdown]
# ## 6. Networks
#
# The short way is `nn.Sequential`. The way for reinforcement learning is a class: parts by name, and in `forward` whatever Python
# can do.

# %%
simple_net = nn.Sequential(
    nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
)


class MyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Linear(10, 20)
        self.layer2 = nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(torch.relu(self.layer1(x)))


assert simple_net(torch.randn(1, 10)).shape == (1, 1)
assert MyNetwork()(torch.randn(1, 10)).shape == (1, 1)


# %%
class ValueNetwork(nn.Module):
    """V(s): how good a state is."""

    def __init__(self, state_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(state_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, 1)

    def forward(self, state: Tensor) -> Tensor:
        x = F.relu(self.fc1(state))
        return self.fc3(F.relu(self.fc2(x)))


def count(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


value_net = ValueNetwork(4, 64)
print(value_net)
assert count(value_net) == (4 * 64 + 64) + (64 * 64 + 64) + (64 + 1) == 4_545
assert value_net.fc1.weight.shape == (64, 4)  # (out, in); Keras has (in, out)
assert value_net.fc1.bias.shape == (64,)


# %%
class QNetwork(nn.Module):
    """Q(s, a) for all actions at once. No activation behind the last layer: values may be negative and large."""

    def __init__(self, state_dim: int, action_dim: int, hidden_dim: int = 128) -> None:
        super().__init__()
        self.fc1 = nn.Linear(state_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, action_dim)

    def forward(self, state: Tensor) -> Tensor:
        x = F.relu(self.fc1(state))
        return self.fc3(F.relu(self.fc2(x)))


q_net = QNetwork(state_dim=4, action_dim=2)  # CartPole: 4 numbers, left or right
state = torch.randn(1, 4)
action = q_net(state).argmax(dim=1).item()
assert count(q_net) == 17_410
assert action in (0, 1)
assert q_net(state)[0, int(action)] == q_net(state).max()

# %% [markdown]
# This package has these networks under the same names, and its DQN agent is made of them. Their weights fit into yours.

# %%
from torch_impl.dqn import DQNAgent
from torch_impl.lesson_networks import QNetwork as LibraryQNetwork

q_net.load_state_dict(LibraryQNetwork(4, 2, seed=1).state_dict())
agent = DQNAgent(4, 2, hidden_sizes=(128, 128), dropout=0.0, device="cpu")
q_net.load_state_dict(agent.q_network.state_dict())
states = torch.randn(5, 4)
assert torch.equal(q_net(states), agent.q_network(states))

# %%
if KERAS:  # the same network; the kernels are transposed on the way
    from legacy_tf.lesson_networks import QNetwork as KerasQNetwork

    keras_net = KerasQNetwork(4, 2)
    assert keras_net.count_params() == 17_410
    for name in ("fc1", "fc2", "fc3"):
        dense, linear = keras_net.get_layer(name), getattr(q_net, name)
        dense.set_weights([linear.weight.detach().numpy().T, linear.bias.detach().numpy()])
    torch.testing.assert_close(
        torch.tensor(np.array(keras_net(states.numpy()))), q_net(states).detach()
    )

# %% [markdown]
# ## 7. The training loop
#
# Five lines that never change: predict, loss, `zero_grad`, `backward`, `step`. Here they learn y = 2x + 3 from 100 noisy points.

# %%
torch.manual_seed(42)
x_train = torch.randn(100, 1)
y_train = 2 * x_train + 3 + torch.randn(100, 1) * 0.1
model = nn.Sequential(nn.Linear(1, 1))
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def train_epoch() -> float:
    predictions = model(x_train)
    loss = criterion(predictions, y_train)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


losses = []
for epoch in range(1, 101):
    losses.append(train_epoch())
    if epoch % 20 == 0:
        print(f"Epoch [{epoch}/100], Loss: {losses[-1]:.4f}")
learnt = (model[0].weight.item(), model[0].bias.item())
print(f"Learned: y = {learnt[0]:.2f}x + {learnt[1]:.2f}   True: y = 2.00x + 3.00")
np.testing.assert_allclose(losses[19::20], [3.2806, 1.4136, 0.6116, 0.2672, 0.1192], atol=1e-3)
np.testing.assert_allclose(learnt, (1.82, 2.74), atol=0.01)

# %% [markdown]
# The loss has fallen to a sixtieth, and yet **1.82 and 2.74 are not 2 and 3**: 100 steps of this size were not enough.
# A falling loss says that something is being learnt, not that it has been. 400 steps more, and only the noise is left.

# %%
first_losses = list(losses)
assert first_losses[0] > 50 * first_losses[-1]
for _ in range(400):
    losses.append(train_epoch())
np.testing.assert_allclose((model[0].weight.item(), model[0].bias.item()), (2, 3), atol=0.03)
assert losses[-1] < 0.0121  # the noise has variance 0.01

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
left.plot(first_losses)
left.set(xlabel="Epoch", ylabel="Loss", title="Training Loss")
right.scatter(x_train.numpy(), y_train.numpy(), alpha=0.5, label="Data")
line = torch.linspace(-3, 3, 100).reshape(-1, 1)
right.plot(line.numpy(), line.numpy() * learnt[0] + learnt[1], "r--", label="After 100 epochs")
right.plot(line.numpy(), model(line).detach().numpy(), "r-", label="After 500 epochs")
right.set(xlabel="x", ylabel="y", title="Fitted Line")
right.legend()
for axes in (left, right):
    axes.grid(visible=True)
figure.tight_layout()
figure.savefig("pytorch_training.png")
plt.show()

# %%
if KERAS:  # `fit` is the loop; one batch an epoch makes it the same one
    line_model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    line_model.compile(keras.optimizers.SGD(0.01), "mse")
    history = line_model.fit(
        x_train.numpy(), y_train.numpy(), epochs=100, batch_size=100, shuffle=False, verbose=0
    )
    print(f"Keras after 100 epochs: loss {history.history['loss'][-1]:.3f}")
    assert history.history["loss"][-1] < history.history["loss"][0] / 20

# %% [markdown]
# ### The same loop learns Q-values
#
# A corridor of five cells: going right from the last one gives 1 and ends the episode; everything else gives 0. With discount 0.9
# the best value of cell i is 0.9 to the power of 4 − i. The target of Q-learning, r + γ max Q(s', a'), is computed by a **second
# network** that is copied now and then, and carries **no gradient**.

# %%
from torch_impl.lesson_networks import QNetwork as SmallQNetwork

CELLS, GAMMA = 5, 0.9
cells = torch.eye(CELLS).repeat_interleave(2, dim=0)  # every cell, with both actions
actions = torch.tensor([0, 1] * CELLS)
places = torch.arange(CELLS).repeat_interleave(2)
next_places = (places + 2 * actions - 1).clamp(0, CELLS - 1)
ends = ((places == CELLS - 1) & (actions == 1)).float()

online, target = (SmallQNetwork(CELLS, 2, 32, seed=0) for _ in range(2))
adam = torch.optim.Adam(online.parameters(), lr=0.01)
for step in range(600):
    if step % 20 == 0:
        target.load_state_dict(online.state_dict())
    with torch.no_grad():
        goal = ends + (1 - ends) * GAMMA * target(torch.eye(CELLS)[next_places]).amax(dim=1)
    q = online(cells).gather(1, actions[:, None])[:, 0]
    loss = F.mse_loss(q, goal)
    adam.zero_grad()
    loss.backward()
    adam.step()

best = online(torch.eye(CELLS)).amax(dim=1).detach()
print(best)
torch.testing.assert_close(best, GAMMA ** torch.arange(4.0, -1, -1), atol=0.02, rtol=0)
assert online(torch.eye(CELLS)).argmax(dim=1).tolist() == [1] * CELLS  # always right

# %% [markdown]
# ## 8. Devices
#
# Everything in one operation has to be on one device. `to` moves: a tensor into a **new** tensor, a module **in place**.

# %%
from torch_impl.placement import benchmark_computation, benchmark_device, get_device, to_device

device = get_device()
tensor = torch.randn(3, 3).to(device)
model = QNetwork(4, 2).to(device)
assert next(model.parameters()).device.type == device.type
q_values = model(torch.randn(1, 4).to(device))
assert q_values.device.type == device.type
assert q_values.detach().cpu().numpy().shape == (1, 2)  # NumPy knows the CPU only

# %% [markdown]
# **Measuring a GPU is easy to get wrong.** It works beside the program: without `torch.cuda.synchronize()` you measure how long it
# takes to *ask* for the product. A test such as `if device == "cuda"` is not enough: for a `torch.device` object it is false, and
# nothing is waited for. `benchmark_computation` asks for the device's type, warms up first, and waits before the clock starts, too.
# Its size: two factors and a product of 10,000 x 10,000 are 1.2 GB, so 1,000 is the default.

# %%
assert torch.device("cpu") != "cpu"  # so torch.device("cuda") == "cuda" is False, too
assert torch.device("cpu").type == "cpu"

seconds = benchmark_device(size=300)
print({name: f"{value * 1e3:.2f} ms" for name, value in seconds.items()})
if "cuda" in seconds:
    print(f"Speedup: {seconds['cpu'] / seconds['cuda']:.1f}x")
assert benchmark_computation(torch.device("cpu"), 100) > 0

# %% [markdown]
# ## 9. Saving and loading
#
# Save the `state_dict`, not the object: it is a dictionary of tensors, which another class, another version and another language
# can read. A checkpoint to train on from also needs the **optimizer**: Adam remembers two moments for every weight.

# %%
model = QNetwork(4, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
batch = torch.randn(8, 4)
model(batch).square().mean().backward()
optimizer.step()  # now Adam has something to remember

torch.save(model.state_dict(), "q_network.pth")
torch.save(
    {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "epoch": 100,
    },
    "checkpoint.pth",
)

loaded = QNetwork(4, 2)
loaded.load_state_dict(torch.load("q_network.pth", weights_only=True))
loaded.eval()
assert torch.equal(loaded(batch), model(batch))

# %% [markdown]
# `weights_only=True` is the default today: tensors and plain Python values are read, code is not run. Both files above are of that
# kind. (A whole pickled module is not, and should not be loaded from someone you do not trust.)

# %%
checkpoint = torch.load("checkpoint.pth", weights_only=True)
resumed = QNetwork(4, 2)
resumed_optimizer = torch.optim.Adam(resumed.parameters(), lr=0.001)
resumed.load_state_dict(checkpoint["model_state_dict"])
resumed_optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
print(f"Resumed from epoch {checkpoint['epoch']}")
assert checkpoint["epoch"] == 100

for network, adam in ((model, optimizer), (resumed, resumed_optimizer)):
    adam.zero_grad()
    network(batch).square().mean().backward()
    adam.step()
assert all(torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True))

# %%
if KERAS:  # weights need the ending .weights.h5; a whole model is .keras
    keras_net.save_weights("q_network.weights.h5")
    keras_net.save("q_network.keras")
    again = keras.models.load_model("q_network.keras")
    np.testing.assert_array_equal(
        np.array(again(batch.numpy())), np.array(keras_net(batch.numpy()))
    )

# %% [markdown]
# That `.keras` file converts: `torchward convert q_network.keras` gives a `.pth` with these weights ([guide](../migration-guide.md)), and
# with `--into torch_impl.lesson_networks:QNetwork --set state_dim=4 --set action_dim=2` they are put into the network of this package.

# %% [markdown]
# ## 10. Good habits
#
# | habit | why |
# |---|---|
# | `model.train()` for learning, `model.eval()` for acting | dropout and batch normalization behave differently |
# | `torch.no_grad()` where nothing is learnt | no graph: less memory, less time |
# | `detach()` where a gradient must not pass | targets in Q-learning, the critic's value in an actor's loss |
# | `zero_grad`, `backward`, `step`, in this order | gradients add up |
# | model and data on one device, moved once | moving in every step costs more than it gains |

# %%
dropout = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5))
x = torch.ones(1, 4)
dropout.train()
assert not torch.equal(dropout(x), dropout(x))
dropout.eval()
assert torch.equal(dropout(x), dropout(x))

with torch.no_grad():
    assert not dropout(x).requires_grad
assert dropout(x).requires_grad  # eval() alone does not switch gradients off

w = torch.tensor([2.0], requires_grad=True)
(w * (w * 3).detach()).backward()  # the second factor counts as a constant, 6
assert w.grad is not None and w.grad.item() == 6

# %%
if KERAS:  # a mode is an argument of the call; a gradient is stopped by name; without a tape there is no graph
    keras_dropout = keras.layers.Dropout(0.5, seed=1)
    ones = np.ones((1, 50), np.float32)
    assert not np.array_equal(
        keras_dropout(ones, training=True), keras_dropout(ones, training=True)
    )
    assert np.array_equal(keras_dropout(ones, training=False), ones)

    variable = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = variable * tf.stop_gradient(variable * 3)
    assert tape.gradient(y, variable).numpy() == 6

# %% [markdown]
# `no_grad` or `detach`? `no_grad` is for a **stretch of code**: nothing in it gets a graph. `detach` is for **one tensor**: what was
# computed before keeps its graph, and only this use of it is cut off.

# %% [markdown]
# ## 11. When something goes wrong
#
# Each mistake is made here on purpose, and then put right.
#
# **Tensors on two devices.** Move both with `to`, or once with `to_device`. (The device `meta` stands for a GPU, so that this runs
# everywhere.)

# %%
try:
    nn.Linear(4, 2, device="meta")(torch.zeros(1, 4)) + torch.zeros(1, 2)
except (RuntimeError, NotImplementedError) as error:
    print(str(error).splitlines()[0])
else:
    raise AssertionError("two devices should not work together")
same_place = to_device({"state": torch.zeros(1, 4)}, device)
assert nn.Linear(4, 2, device=device)(same_place["state"]).shape == (1, 2)

# %% [markdown]
# **"Trying to backward through the graph a second time".** `backward` frees the graph. Which remedy is right depends on the cause:
#
# | cause | remedy |
# |---|---|
# | the same loss is really needed twice | `retain_graph=True` |
# | the weights have changed in between | compute the loss again |
# | a value of an earlier step was only meant as a number (a target!) | `detach()` or `no_grad()` where it was made |

# %%
w = torch.tensor([3.0], requires_grad=True)
loss = (w**2).sum()
loss.backward()
try:
    loss.backward()
except RuntimeError as error:
    print(str(error)[:58])
else:
    raise AssertionError("the graph should be gone")

w.grad = None
loss = (w**2).sum()
loss.backward(retain_graph=True)
loss.backward()  # allowed, and adds up: 6 + 6
assert w.grad is not None and w.grad.item() == 12

target_value = (w * 2).detach()  # a number now: each loss has a graph of its own
for _ in range(2):
    ((w - target_value) ** 2).sum().backward()

# %% [markdown]
# **The network does not learn.** Often put down to a forgotten `zero_grad`. That is another illness: without it gradients do not
# stop, they **add up**, and steps get longer and longer. Weights that stay where they are have other causes: the optimizer has not
# been given them, a `detach` or `no_grad` cut them off, the learning rate is 0, or a ReLU never opens.

# %%
w = torch.tensor([1.0], requires_grad=True)
forgetful = torch.optim.SGD([w], lr=0.01)
lengths = []
for _ in range(3):
    before = w.item()
    (3 * w).sum().backward()  # the gradient is always 3
    forgetful.step()
    lengths.append(before - w.item())
np.testing.assert_allclose(
    lengths, [0.03, 0.06, 0.09], rtol=1e-4
)  # it moves, and faster and faster

network, other = nn.Linear(2, 1), nn.Linear(2, 1)
wrong = torch.optim.SGD(other.parameters(), lr=0.1)  # of another network
before_weight = network.weight.detach().clone()
network(torch.ones(1, 2)).sum().backward()
wrong.step()
assert torch.equal(network.weight, before_weight)  # this is what "does not learn" looks like
assert network.weight.grad is not None  # the gradient was there

# %% [markdown]
# **Out of memory.** Smaller batches; and where the batch must stay as large as it is, its gradient can be put together from parts,
# because gradients add up. Each part's mean loss is divided by the number of parts.

# %%
network = nn.Linear(4, 1).double()
inputs, wanted = torch.randn(64, 4).double(), torch.randn(64, 1).double()
F.mse_loss(network(inputs), wanted).backward()
assert network.weight.grad is not None
whole = network.weight.grad.clone()

network.zero_grad()
for part, wanted_part in zip(inputs.chunk(4), wanted.chunk(4), strict=True):
    (F.mse_loss(network(part), wanted_part) / 4).backward()  # 16 rows in memory at a time
torch.testing.assert_close(network.weight.grad, whole)

# %% [markdown]
# **The gradient is None.** Three causes: the tensor was made without `requires_grad`; it is not a **leaf** (it was computed, and only
# leaves keep their gradient unless `retain_grad()` asks for it); or the way was cut, by `detach`, `no_grad` or a detour through NumPy.

# %%
plain = torch.tensor([1.0])
leaf = torch.tensor([2.0], requires_grad=True)
(plain * leaf).sum().backward()
assert plain.grad is None and leaf.grad is not None

middle = leaf * 2
middle.retain_grad()
(middle**2).sum().backward()
assert middle.grad is not None and middle.grad.item() == 8

cut = torch.from_numpy((leaf * 2).detach().numpy())
assert not cut.requires_grad

# %% [markdown]
# # Exercises
#
# Try each before you read on; the solution is in the cell below it.
#
# ## Exercise 1: normalize states (easy)
#
# Write `normalize_states(states)`: every feature of a batch gets mean 0 and standard deviation 1. What happens to a feature that is
# the same in all states, and to a batch of one?

# %%
from torch_impl.normalizer import normalize_states


def normalize_plainly(states: Tensor) -> Tensor:
    return (states - states.mean(dim=0)) / states.std(dim=0)


states = torch.randn(100, 4) * 10 + 5  # mean 5, standard deviation 10
normalized = normalize_states(states)
torch.testing.assert_close(normalized, normalize_plainly(states))
assert normalized.mean(dim=0).abs().max() < 1e-6
torch.testing.assert_close(normalized.std(dim=0), torch.ones(4))

states[:, 2] = 7.0  # 0 / 0 in the plain formula
assert normalize_plainly(states)[:, 2].isnan().all()
assert (normalize_states(states)[:, 2] == 0).all()
assert (normalize_states(states[:1]) == 0).all()

# %%
if KERAS:
    from legacy_tf.normalizer import normalize_states as normalize_in_tensorflow

    torch.testing.assert_close(
        torch.tensor(np.array(normalize_in_tensorflow(states.numpy()))), normalize_states(states)
    )

# %% [markdown]
# ## Exercise 2: a gradient by hand (medium)
#
# The squared Bellman error is L = (Q(s,a) − (r + γ max Q(s',a')))². Find ∂L/∂Q(s,a), and compare with autograd for Q = 5, r = 10,
# γ = 0.9, max Q' = 8.
#
# **Solution.** 2 (Q − target) = 2 (5 − 17.2) = −24.4. Compare with care: 0.9 and 17.2 have no exact float32, so Python's own −24.4 and
# autograd's result differ by 1.5e-6, and a check with 1e-6 fails although nothing is wrong. With tensors of the same dtype they are
# equal bit by bit.

# %%
Q_sa = torch.tensor([5.0], requires_grad=True)
reward, gamma, Q_next_max = torch.tensor([10.0]), 0.9, torch.tensor([8.0])
bellman_target = reward + gamma * Q_next_max
((Q_sa - bellman_target) ** 2).sum().backward()
assert Q_sa.grad is not None

analytical = 2 * (Q_sa.detach() - bellman_target)
print(f"Analytical: {analytical.item()}, autograd: {Q_sa.grad.item()}")
print(f"Match: {torch.equal(analytical, Q_sa.grad)}")
assert torch.equal(analytical, Q_sa.grad)
assert Q_sa.grad.item() == -24.400001525878906
assert abs(2 * (5 - (10 + 0.9 * 8)) - Q_sa.grad.item()) > 1e-6  # the check with Python's numbers

# %% [markdown]
# ## Exercise 3: a dueling network (medium)
#
# Behind shared layers one stream gives V(s), another A(s, a); Q = V + A − mean(A). Check that the mean of Q over the actions is V. Why
# is the mean taken off? Without it V could be anything: add 10 to V, take 10 from every A, and Q is the same.


# %%
class DuelingQNetwork(nn.Module):
    def __init__(self, state_dim: int, action_dim: int, hidden_dim: int = 128) -> None:
        super().__init__()
        self.fc1 = nn.Linear(state_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.value = nn.Linear(hidden_dim, 1)
        self.advantage = nn.Linear(hidden_dim, action_dim)

    def streams(self, state: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc2(F.relu(self.fc1(state))))
        return self.value(x), self.advantage(x)

    def forward(self, state: Tensor) -> Tensor:
        value, advantage = self.streams(state)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


net = DuelingQNetwork(4, 2)
states = torch.randn(6, 4)
assert net(states[:1]).shape == (1, 2)
torch.testing.assert_close(net(states).mean(dim=1, keepdim=True), net.streams(states)[0])
before_shift = net(states)
with torch.no_grad():
    net.advantage.bias += 10
torch.testing.assert_close(net(states), before_shift)

from torch_impl.lesson_networks import DuelingQNetwork as LibraryDuelingQNetwork

net.load_state_dict(LibraryDuelingQNetwork(4, 2).state_dict())  # the agents' own has the same parts

# %%
if KERAS:  # the mean over actions is a layer of its own, so that the file needs no code of ours to be loaded
    from legacy_tf.lesson_networks import DuelingQNetwork as KerasDuelingQNetwork

    keras_dueling = KerasDuelingQNetwork(4, 2)
    for name in ("fc1", "fc2", "value", "advantage"):
        dense, linear = keras_dueling.get_layer(name), getattr(net, name)
        dense.set_weights([linear.weight.detach().numpy().T, linear.bias.detach().numpy()])
    torch.testing.assert_close(
        torch.tensor(np.array(keras_dueling(states.numpy()))), net(states).detach()
    )

# %% [markdown]
# ## Exercise 4: XOR (medium to hard)
#
# Learn [[0,0], [0,1], [1,0], [1,1]] to [0, 1, 1, 0] with at least one hidden layer, a sigmoid at the end and `nn.BCELoss`, until the
# loss is below 0.01 or for 10,000 epochs. Plot the loss, and the decision boundary.
#
# **Choose the network with care.** Two ReLU units can represent XOR and mostly fail to learn it: units that are closed for all four
# points get no gradient any more. Eight tanh units learn it from any first weights.

# %%
from torch_impl.lesson_networks import XorNetwork

corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
answers = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


def learn_xor(network: nn.Module, lr: float, epochs: int = 10_000) -> list[float]:
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    criterion = nn.BCELoss()
    losses: list[float] = []
    for _ in range(epochs):
        loss = criterion(network(corners), answers)
        losses.append(loss.item())
        if losses[-1] < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


xor_net = XorNetwork(seed=42)  # 2-8-1: nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid()
xor_losses = learn_xor(xor_net, lr=0.1)
print(f"solved after {len(xor_losses)} epochs: {xor_net(corners).detach()[:, 0]}")
assert xor_losses[-1] < 0.01 and len(xor_losses) < 10_000
assert torch.equal(xor_net(corners).round(), answers)

# %%
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(xor_losses)
axes.set(xlabel="Epoch", ylabel="Loss", title="XOR: Training Loss", yscale="log")
axes.grid(visible=True)
figure.tight_layout()
figure.savefig("xor_loss.png")
plt.show()

# %%
side = torch.linspace(-0.5, 1.5, 100)
grid = torch.cartesian_prod(side, side)  # x changes slowly, y quickly
with torch.no_grad():
    probability = xor_net(grid).reshape(100, 100).T.numpy()
figure, axes = plt.subplots(figsize=(5, 4))
shown = axes.contourf(side.numpy(), side.numpy(), probability, levels=20, cmap="RdBu_r")
axes.contour(side.numpy(), side.numpy(), probability, levels=[0.5], colors="black")
figure.colorbar(shown, label="P(1)")
colours = ["white" if answer else "black" for answer in answers[:, 0].tolist()]
axes.scatter(corners[:, 0], corners[:, 1], c=colours, edgecolors="grey", s=80, zorder=3)
axes.set(xlabel="x1", ylabel="x2", title="XOR: Decision Boundary")
figure.tight_layout()
figure.savefig("xor_boundary.png")
plt.show()

# %%
if KERAS:  # the same first weights, the same loop: the same losses
    from legacy_tf.lesson_networks import XorNetwork as KerasXorNetwork

    keras_xor = KerasXorNetwork(seed=42)
    for expected_loss in xor_losses[:20]:
        with tf.GradientTape() as tape:
            keras_loss = keras.losses.BinaryCrossentropy()(
                answers.numpy(), keras_xor(corners.numpy())
            )
        np.testing.assert_allclose(float(keras_loss), expected_loss, rtol=1e-5)
        gradients = tape.gradient(keras_loss, keras_xor.trainable_variables)
        for weights, gradient in zip(keras_xor.trainable_variables, gradients, strict=True):
            weights.assign_sub(0.1 * gradient)

# %% [markdown]
# ## Exercise 5: devices (thinking and code)
#
# **A. When is a GPU worth it in reinforcement learning?**
#
# *Worth it*: networks on images, large batches, many environments stepped at once with their observations in one tensor, large models
# in offline learning. The work per call is then much larger than what a call costs.
#
# *Not worth it*: small networks on a few numbers (CartPole, most robot tasks), batches of 32, one environment. Starting a kernel takes
# some microseconds, each observation travels to the device and each action back, and the environment waits on the CPU meanwhile. The
# products of a 128-unit network are done before the first of them would have arrived. *Measure*, with `benchmark_device` or your own
# loop, and count environment steps per second rather than products.
#
# **B. Write `get_device(prefer_gpu=True)` and `to_device(data, device)`**, the latter for tensors in lists, tuples and dictionaries.
# Those of this package were used above. Test yours with these cases: nested containers keep their kind, named tuples keep their
# names, what is no tensor stays as it is.

# %%
from collections import namedtuple

assert get_device(prefer_gpu=False) == torch.device("cpu")
Step = namedtuple("Step", ["state", "info"])
data: dict[str, Any] = {
    "states": torch.randn(10, 4),
    "actions": [torch.randint(0, 2, (10,)), (torch.randn(10), "text", 3)],
    "step": Step(torch.zeros(4), None),
}
moved = to_device(data, "meta")
assert moved["states"].device.type == "meta"
assert isinstance(moved["actions"][1], tuple) and moved["actions"][1][1:] == ("text", 3)
assert moved["actions"][1][0].device.type == "meta"
assert isinstance(moved["step"], Step) and moved["step"].info is None
assert to_device(data, device)["states"].device.type == device.type

# %% [markdown]
# Done. [Check yourself](README.md#self-check), then read on: [what comes next](README.md#next-lesson-supervised-learning).
