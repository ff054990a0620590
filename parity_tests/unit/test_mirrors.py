"""legacy_tf/x.py and torch_impl/x.py are read next to each other: same public names, order, arguments, defaults."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Left out of the comparison, with the reason; everything else must agree. "device" is an argument of every rewritten
# agent (frameworks/torch.py passes it): TensorFlow places by itself.
ONLY_IN_TORCH = "(device='auto')"
EXCEPTIONS: dict[str, dict[str, str]] = {
    "actor_critic.py": {
        "ActorCritic(device)": "torch: TensorFlow places by itself",
        "ActorCritic.compile_steps": "torch: a graph is compiled already",
        "ActorCritic.use_mixed_precision": "torch: graphs are rewritten for it from outside",
        "ActorCritic.network_modules": "torch: a session has the variables",
    },
    "normalizer.py": {"Normalizer.update(session)": "legacy: graphs run in one"},
    "dqn.py": {
        "DQNAgent(style)": "legacy: how Keras is called",
        "DQNAgent(compiled)": "torch: in TensorFlow the style says it",
        "DQNAgent.save_weights": "legacy: Keras' own file of weights",
        "DQNAgent.load_weights": "legacy: Keras' own file of weights",
    },
    "image_networks.py": {
        "add_convolutions": "torch: layers are made before they are used",
        "convolve(network)": "torch: the layers are attributes of a module",
        "convolve(filters)": "legacy: layers are made where they are used",
    },
    "ur.py": {
        "UrTrainer(device)": "torch: TensorFlow places by itself",
        "UrTrainer(amp)": "torch: half precision is an option of the rewrite",
    },
    "ur_networks.py": {
        "ValueNetwork.forward": "torch: a module, where Keras has a functional model",
        "PolicyNetwork.forward": "torch: a module, where Keras has a functional model",
        "PolicyNetwork.logits": "torch: a module, where Keras has a functional model",
        "UrNetworks.forward": "torch: a module, where Keras has a functional model",
        "run_layers": "legacy: forward takes masks in torch",
    },
    "value_dqn.py": {"ValueDQN(device)": "torch: TensorFlow places by itself"},
    "offline_agent.py": {
        "OfflineAgent(device)": "torch: TensorFlow places by itself",
        "OfflineAgent(compiled)": "torch: in TensorFlow every update is one tf.function",
    },
    "offline_networks.py": {
        "DenseNetwork.forward": "torch: a module, where Keras has a functional model",
        "TrainedVector.forward": "torch: TensorFlow calls `__call__`",
        "variables_by_path": "legacy: a module has named_parameters",
    },
    "offline_updates.py": {
        "OfflineUpdates.compile": "torch: in TensorFlow every update is one tf.function",
        "OfflineUpdates.best_count": "torch: in TensorFlow every update is one tf.function",
        "OfflineUpdates.take_several": "torch: in TensorFlow every update is one tf.function",
    },
    "networks.py": {
        "DQNetwork.forward": "torch: a module, where Keras has a functional model",
        "DQNetwork.evaluate": "torch: a module, where Keras has a functional model",
        "run_masked": "legacy: forward takes masks in torch",
        "build_trainer": "legacy: for fit and train_on_batch",
    },
}


def mirrored_files() -> list[str]:
    names = [
        {path.name for path in (ROOT / side).glob("*.py")} for side in ("legacy_tf", "torch_impl")
    ]
    return sorted(names[0] & names[1])


def signature(function: ast.FunctionDef) -> list[str]:
    """Return "name", "name=default", "*", "**name" in order; annotations are the framework's."""
    given = function.args
    positional = given.posonlyargs + given.args
    missing = len(positional) - len(given.defaults)
    defaults = [None] * missing + list(given.defaults)
    parts = list(zip(positional, defaults, strict=True))
    texts = [a.arg if d is None else f"{a.arg}={ast.unparse(d)}" for a, d in parts]
    texts += ["*"] if given.kwonlyargs else []
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        texts.append(argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}")
    texts += [f"**{given.kwarg.arg}"] if given.kwarg else []
    return [text for text in texts if text not in ("self", "cls")]


def public_names(source: str) -> Iterator[str]:
    """Yield every public class, function, method and argument: "f", "f(x=1)", "C", "C(x)", "C.m", "C.m(x)", "C.field"."""
    body = ast.parse(source).body
    private = {
        node.name: node.body
        for node in body
        if isinstance(node, ast.ClassDef) and node.name.startswith("_")
    }
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        yield node.name
        if isinstance(node, ast.FunctionDef):
            yield from (f"{node.name}({text})" for text in signature(node))
            continue
        fields = any("NamedTuple" in ast.unparse(base) for base in node.bases)
        inherited = [member for base in node.bases for member in private.get(ast.unparse(base), [])]
        for member in [*inherited, *node.body]:
            if isinstance(member, ast.AnnAssign) and fields:
                yield f"{node.name}.{ast.unparse(member.target)}"
            if not isinstance(member, ast.FunctionDef):
                continue
            if member.name == "__init__":
                yield from (f"{node.name}({text})" for text in signature(member))
            elif not member.name.startswith("_"):
                name = f"{node.name}.{member.name}"
                yield name
                yield from (f"{name}({text})" for text in signature(member))


def without_exceptions(names: Iterator[str], exceptions: dict[str, str]) -> list[str]:
    def excepted(name: str) -> bool:
        bare = f"{name.split('=')[0]})" if "=" in name else name
        return bare in exceptions or name.split("(")[0] in exceptions

    return [name for name in names if not excepted(name)]


def differences(legacy: str, torch: str, exceptions: dict[str, str]) -> list[tuple[str, str]]:
    left = without_exceptions(public_names(legacy), exceptions)
    names = (name for name in public_names(torch) if not name.endswith(f"Agent{ONLY_IN_TORCH}"))
    right = without_exceptions(names, exceptions)
    length = max(len(left), len(right))
    padded = [side + ["nothing"] * (length - len(side)) for side in (left, right)]
    return [pair for pair in zip(*padded, strict=True) if pair[0] != pair[1]]


def test_there_are_mirrored_files() -> None:
    assert {"dqn.py", "networks.py", "losses.py"} <= set(mirrored_files())


@pytest.mark.parametrize("name", mirrored_files())
def test_both_sides_have_the_same_public_names_in_the_same_order(name: str) -> None:
    legacy, torch = (
        (ROOT / side / name).read_text("utf-8") for side in ("legacy_tf", "torch_impl")
    )

    assert differences(legacy, torch, EXCEPTIONS.get(name, {})) == []


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_every_exception_is_needed(name: str) -> None:
    sides = [
        set(public_names((ROOT / side / name).read_text("utf-8")))
        for side in ("legacy_tf", "torch_impl")
    ]
    one_sided = {text.split("=")[0].rstrip(")") for text in sides[0] ^ sides[1]}

    for exception in EXCEPTIONS[name]:
        assert exception.rstrip(")") in one_sided


@pytest.mark.parametrize(
    "torch",
    [
        "def f(x, *, rate=0.2): ...\nclass A:\n    def m(self): ...",
        "def f(x, *, rate=0.1): ...\nclass A:\n    def n(self): ...",
        "def f(*, rate=0.1): ...\nclass A:\n    def m(self): ...",
        "class A:\n    def m(self): ...\ndef f(x, *, rate=0.1): ...",
        "def f(x, rate=0.1): ...\nclass A:\n    def m(self): ...",
        "def f(x, *, rate=0.1): ...\nclass A:\n    def m(self): ...\n    def extra(self): ...",
    ],
    ids=["default", "method", "argument", "order", "keyword-only", "extra"],
)
def test_planted_difference_is_seen(torch: str) -> None:
    legacy = "def f(x, *, rate=0.1): ...\nclass A:\n    def m(self): ..."

    assert differences(legacy, torch, {}) != []
    assert differences(legacy, legacy, {}) == []
