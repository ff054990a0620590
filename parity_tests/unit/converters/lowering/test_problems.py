from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converters.errors import MAX_EXAMPLES, UnsupportedError, own_code_hint
from converters.plan import plan_conversion
from converters.readers import read_checkpoint

LAMBDA = {"value": ["4wEAAAA=", None, None]}
"""What Keras 3 stores for a lambda that is an activation."""


def problems_of(path: Path) -> tuple[list[str], str | None]:
    """Return the lines of the error, without the names that are near, and its hint."""
    with pytest.raises(UnsupportedError) as caught:
        plan_conversion(read_checkpoint(path))
    lines = [line.partition("; nearest")[0].strip() for line in str(caught.value).splitlines()]
    return lines, caught.value.hint


def test_all_code_of_a_file_is_listed_at_once_with_what_to_type(
    write_model: Any, configs: Any
) -> None:
    config = configs.sequential(
        configs.layer("mine>Noisy", "first", units=3),
        configs.dense("hidden", 3, "mine>wavy"),
        configs.layer("mine>Noisy", "second", units=3),
        configs.layer("Lambda", "scale"),
        configs.dense("q_values", 2, "mine>wavy"),
    )

    lines, hint = problems_of(write_model(config, {}))

    assert lines == [
        "model.h5: 5 layers cannot be converted:",
        "layer 'first': no rule for Keras layer 'mine>Noisy'",
        "layer 'second': no rule for Keras layer 'mine>Noisy'",
        "layer 'scale': Keras layer 'Lambda' is not converted: it holds or names code, and code from a file is never run",
        "layer 'hidden' (Dense): no rule for activation 'mine>wavy'",
        "layer 'q_values' (Dense): no rule for activation 'mine>wavy'",
    ]
    assert hint == (
        "write them in my_layers.py and pass --layer Noisy=my_layers.py:Noisy "
        "--layer scale=my_layers.py:Scale --layer wavy=my_layers.py:wavy"
    )


def test_activations_behind_the_first_unknown_one_are_listed_too(
    write_model: Any, configs: Any
) -> None:
    config = configs.sequential(
        configs.dense("hidden", 3, "wavy"),
        configs.dense("second", 3, LAMBDA),
        configs.dense("q_values", 2, {"class_name": "mine>Bent", "config": {}}),
    )
    sizes = {"hidden": (4, 3), "second": (3, 3), "q_values": (3, 2)}
    arrays = {name: configs.dense_arrays(*size) for name, size in sizes.items()}

    lines, hint = problems_of(write_model(config, arrays))

    assert lines[1:] == [
        "layer 'hidden' (Dense): no rule for activation 'wavy'",
        "layer 'second' (Dense): its activation is a lambda; code from a file is never run",
        "layer 'q_values' (Dense): no rule for Keras layer 'mine>Bent'",
    ]
    assert hint is not None
    assert "--layer second.activation=my_layers.py:second_activation" in hint
    assert "--layer Bent=my_layers.py:Bent" in hint


def test_activation_that_makes_no_sense_does_not_hide_the_other_problems(
    write_model: Any, configs: Any
) -> None:
    takes_two_inputs = {"class_name": "Dot", "config": {}}
    config = configs.sequential(
        configs.layer("Noisy", "first", units=3), configs.dense("hidden", 3, takes_two_inputs)
    )

    lines, _ = problems_of(write_model(config, {}))

    assert lines == ["model.h5: layer 'first': no rule for Keras layer 'Noisy'"]


def test_layer_inside_a_wrapper_is_called_by_its_own_name(write_model: Any, configs: Any) -> None:
    inside = configs.layer("Lambda", "scale")
    config = configs.sequential(
        configs.layer("TimeDistributed", "every_step", layer=inside), shape=(None, 3, 4)
    )

    _, hint = problems_of(write_model(config, {}))

    assert hint == "write it in my_layers.py and pass --layer scale=my_layers.py:Scale"


def test_hint_is_one_line_that_a_shell_takes_whatever_the_names() -> None:
    names = {f"layer {index}": f"Layer{index}" for index in range(MAX_EXAMPLES + 1)}

    hint = own_code_hint(names)

    assert "--layer 'layer 0'=my_layers.py:Layer0 " in hint
    assert hint.endswith("my_layers.py:Layer7, ...")
