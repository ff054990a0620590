from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import torchward
from converters import emit
from converters.architecture import Architecture, InputValue, Step
from converters.emit import emit_source
from converters.errors import ConversionError, UnsupportedError
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from converters.targets import TARGETS, Target
from parity_tests import FIXTURES

HOSTILE = [
    'x"""; import os',
    "x'; import os #",
    "a\nimport os",
    "a\\",
    "__class__",
    "__import__('os')",
    "forward",
    "training",
    "lambda",
    "self",
    "super",
    "../../x",
    "größe\u2028",
    "{evil}",
]


def emitted_names(source: str) -> set[str]:
    """Return every name of the source outside of strings."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names | {node.arg for node in nodes if isinstance(node, ast.arg)}


def test_sum_of_more_values_than_python_reads_is_refused() -> None:
    total = Step("operator.add", ("x",) * 20_000, "total")
    architecture = Architecture("Net", (InputValue("x", None, "float32"),), ("total",), (total,))

    with pytest.raises(UnsupportedError, match="too deep for Python"):
        emit_source(architecture, origin="test", weights="net.pth")


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_layer_name_is_an_identifier_or_nothing(
    write_model: Any, configs: Any, tmp_path: Path, name: str
) -> None:
    config = configs.sequential(configs.layer("ReLU", name, max_value=2.0), configs.dense("q", 2))
    config["config"]["name"] = name
    path = write_model(config, {"q": configs.dense_arrays(4, 2)})

    torchward.convert(path, tmp_path / "m.pth", source_code=tmp_path / "m.py")

    source = (tmp_path / "m.py").read_text()
    assert source.isascii()
    assert not {"os", "__class__", "__import__", "evil", "import"} & emitted_names(source)
    assert [
        node.names[0].name for node in ast.parse(source).body if isinstance(node, ast.Import)
    ] in (
        [],
        ["torch"],
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, "m.py", "exec"), namespace)  # noqa: S102  # that it runs is what is tested
    model = torchward.load(tmp_path / "m.pth")
    emitted = namespace[model.architecture.name]()
    emitted.load_state_dict(model.state_dict())
    x = torch.linspace(-3, 3, 8).reshape(2, 4)
    assert torch.equal(emitted(x), model(x))


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_file_and_output_names_stay_inside_strings(name: str) -> None:
    architecture = Architecture(
        "Network", (InputValue("x", (None, 2), "float32"),), ("x",), (), "dict", (name,)
    )

    source = emit_source(architecture, origin=f"{name}.h5", weights=f"{name}.pth")

    (returned,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Dict)]
    assert ast.literal_eval(returned.keys[0] or "") == name
    assert not {"os", "__import__", "evil"} & emitted_names(source)
    assert source.isascii()


@pytest.mark.parametrize(
    ("case", "file"),
    [
        ("k315_activations", "model.keras"),
        ("k315_dueling_gap", "model.keras"),
        ("k315_shared_layers", "model.keras"),
        ("tf215_nested_bn", "model.h5"),
        ("k224_ddpg_critic_bn", "model.h5"),
        ("k315_sac_actor", "model.keras"),
        ("k224_recurrent", "model.h5"),
    ],
)
def test_emitted_source_needs_torch_only_and_stays_as_it_is_under_ruff(
    case: str, file: str, tmp_path: Path
) -> None:
    plan = plan_conversion(read_checkpoint(FIXTURES / case / file))
    path = tmp_path / "network.py"

    path.write_text(emit_source(plan.architecture, origin=file, weights="network.pth"))

    tree = ast.parse(path.read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert {(name or "").split(".")[0] for name in imported} <= {
        "torch",
        "__future__",
        "collections",
    }
    for command in (["check", "--select", "E4,E7,E9,F,I", "--quiet"], ["format", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(path)]
        checked = subprocess.run(ruff, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout


def chain(*steps: Step, name: str = "Network") -> Architecture:
    return Architecture(
        name, (InputValue("x", (None, 4), "float32"),), (steps[-1].output,), tuple(steps)
    )


def test_functions_of_one_value_are_written_around_it() -> None:
    linear = Step(
        "nn.Linear", ("x",), "h", "fc1", {"in_features": 4, "out_features": 3}, ("weight", "bias")
    )
    architecture = chain(linear, Step("F.relu", ("h",), "h_2"), Step("torch.tanh", ("h_2",), "h_3"))

    source = emit_source(architecture, origin="m.h5", weights="m.pth")

    assert "        self.fc1 = nn.Linear(4, 3)\n" in source
    assert "        return torch.tanh(F.relu(self.fc1(x)))\n" in source


@pytest.mark.parametrize(
    ("dtype", "written"), [("float32", False), ("float64", True), ("bfloat16", True)]
)
def test_network_is_built_in_its_own_precision(dtype: str, written: bool) -> None:
    architecture = replace(chain(Step("F.relu", ("x",), "y")), dtype=dtype)

    source = emit_source(architecture, origin="m.h5", weights="m.pth")

    assert (f"        self.to(torch.{dtype})" in source) is written


def test_precision_is_no_way_into_the_source() -> None:
    hostile = "float64) or print(1"
    layer = Step("nn.Linear", ("x",), "y", "a", {"in_features": 4, "out_features": 3})

    for architecture in (
        replace(chain(layer), dtype=hostile),
        chain(replace(layer, dtype=hostile)),
    ):
        with pytest.raises(ConversionError, match="cannot be written as source"):
            emit_source(architecture, origin="m.h5", weights="m.pth")


def test_frozen_layer_is_frozen_in_the_source() -> None:
    kwargs = {"in_features": 4, "out_features": 3}
    step = Step("nn.Linear", ("x",), "h", "fc1", kwargs, ("weight", "bias"), frozen=True)

    after = replace(step, inputs=("h",), output="i", attribute="fc2", frozen=False)
    after = replace(after, kwargs={"in_features": 3, "out_features": 2})

    source = emit_source(chain(step, after), origin="m.h5", weights="m.pth")

    assert source.count("requires_grad_") == 1
    assert "        self.fc1.requires_grad_(False)\n" in source


@pytest.mark.parametrize(
    ("piece", "found"),
    [
        ("import os", "os"),
        ("from subprocess import run", "subprocess"),
        ("def piece(x):\n    global y\n    return x", "Global"),
        ("def piece(x):\n    exec('1')\n    while True:\n        pass", "While"),
        ("async def piece(x):\n    return x", "AsyncFunctionDef"),
    ],
)
def test_source_with_more_than_a_plain_module_is_not_written(piece: str, found: str) -> None:
    with pytest.raises(ConversionError, match=found):
        emit._check(f"{piece}\n")


def test_function_of_a_users_rule_is_emitted_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_pieces.py").write_text("def doubled(x):\n    return x + x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TARGETS, "my.doubled", Target("my_pieces:doubled"))

    source = emit_source(chain(Step("my.doubled", ("x",), "y")), origin="m.h5", weights="m.pth")

    assert "def doubled(x):\n    return x + x\n" in source
    assert "return doubled(x)" in source


def test_missing_source_of_a_piece_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "my.lost", Target("converters.names:no_such_function"))

    with pytest.raises(ConversionError, match="has no definition of that name"):
        emit_source(chain(Step("my.lost", ("x",), "y")), origin="m.h5", weights="m.pth")
