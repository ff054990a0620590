from __future__ import annotations

from converters.architecture import Step
from converters.passes.masks import settle_masks


def settled(steps: list[Step], *outputs: str) -> list[Step]:
    found, origins = settle_masks(steps, [(step.output,) for step in steps], outputs)
    assert len(found) == len(origins)
    return found


def test_mask_that_is_made_twice_is_made_once() -> None:
    once = Step("operator.ne", ("x",), "a", kwargs={"right": 0})
    again = Step("operator.ne", ("x",), "b", kwargs={"right": 0})
    use = Step("compat.masked_mean", ("y", "b"), "z")

    assert settled([once, again, use], "z") == [once, Step("compat.masked_mean", ("y", "a"), "z")]


def test_masks_of_other_values_stay_apart() -> None:
    steps = [
        Step("operator.ne", ("x",), "a", kwargs={"right": 0}),
        Step("operator.ne", ("x",), "b", kwargs={"right": 1}),
        Step("operator.and_", ("a", "b"), "c"),
    ]

    assert settled(steps, "c") == steps


def test_mask_with_itself_is_the_mask() -> None:
    made = Step("operator.ne", ("x",), "a", kwargs={"right": 0})
    both = Step("torch.logical_or", ("a", "a"), "b")
    use = Step("compat.zero_masked", ("y", "b"), "z")

    assert settled([made, both, use], "z") == [made, Step("compat.zero_masked", ("y", "a"), "z")]


def test_output_is_kept_even_if_it_was_made_before() -> None:
    steps = [Step("operator.ne", ("x",), name, kwargs={"right": 0}) for name in ("a", "b")]

    assert settled(steps, "a", "b") == steps


def test_chain_that_leads_nowhere_goes_and_modules_stay() -> None:
    made = Step("operator.ne", ("x",), "a", kwargs={"right": 0})
    wider = Step("torch.unsqueeze", ("a",), "b", kwargs={"dim": 1})
    module = Step("nn.Linear", ("x",), "c", attribute="dense")
    last = Step("F.relu", ("x",), "z")

    assert settled([made, wider, module, last], "z") == [module, last]
