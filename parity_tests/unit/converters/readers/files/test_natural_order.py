from __future__ import annotations

import random

from converters.readers.files.natural_order import natural_key


def test_numbers_are_sorted_by_value_and_components_one_by_one() -> None:
    ordered = ["vars/2", "vars/10", "dense/vars/0", "dense_2/vars", "dense_10/vars"]
    ordered = ["dense/vars/0", "dense_2/vars", "dense_10/vars", "vars/2", "vars/10"]
    shuffled = random.Random(3).sample(ordered, len(ordered))  # noqa: S311

    assert sorted(shuffled, key=natural_key) == ordered


def test_name_comes_before_the_same_name_with_a_number() -> None:
    assert sorted(["dense_1", "dense", "dense_2"], key=natural_key) == [
        "dense",
        "dense_1",
        "dense_2",
    ]
