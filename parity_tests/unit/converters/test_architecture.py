from __future__ import annotations

import pytest

from converters.architecture import Architecture, InputValue, Step
from converters.errors import UnreadableFileError


def test_arguments_nested_without_end_are_refused() -> None:
    step = Step("F.relu", ("x",), "y")
    data = Architecture("Net", (InputValue("x", None, "float32"),), ("y",), (step,)).to_data()
    nested: list[object] = []
    for _ in range(5_000):
        nested = [nested]
    [stored] = data["steps"]  # type: ignore[misc]
    stored["kwargs"] = {"inplace": nested}

    with pytest.raises(UnreadableFileError, match="RecursionError"):
        Architecture.from_data(data)
