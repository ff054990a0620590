from __future__ import annotations

import importlib.util

import pytest

from benchmarks.variants import VARIANTS
from benchmarks.workloads import DEFAULT, QUICK, WORKLOADS, choose


def test_every_variant_of_every_workload_is_registered() -> None:
    known = {*VARIANTS, "convert", "imports", "bundle", "load_checkpoint"}

    assert {name for workload in WORKLOADS.values() for name in workload.variants} <= known


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_module_of_a_variant_exists(variant: object) -> None:
    module = getattr(variant, "subject").partition(":")[0]  # noqa: B009  typed as object for the ids

    assert importlib.util.find_spec(module) is not None


def test_requirements_name_variants_of_their_workload() -> None:
    for workload in WORKLOADS.values():
        for requirement in workload.requirements:
            assert {requirement.subject, requirement.reference} <= set(workload.variants)
            assert requirement.case in workload.cases


def test_both_frameworks_are_measured_in_every_style_a_user_has() -> None:
    for name in ("training", "updates", "inference", "startup", "memory"):
        assert set(WORKLOADS[name].variants) >= {
            "legacy-fit",
            "legacy-batch",
            "legacy-function",
            "torch-eager",
            "torch-compile",
        }


def test_nothing_named_means_the_usual_ones() -> None:
    assert [workload.name for workload in choose((), quick=False)] == list(DEFAULT)
    assert [workload.name for workload in choose((), quick=True)] == list(QUICK)


def test_a_quick_run_says_what_it_leaves_out() -> None:
    [updates] = [workload for workload in choose((), quick=True) if workload.name == "updates"]

    assert "sb3" not in updates.variants
    assert any("stable-baselines3" in note for note in updates.notes)
    assert "sb3" not in {requirement.reference for requirement in updates.requirements}


def test_a_named_workload_is_complete_even_if_quick() -> None:
    [updates] = choose(("updates",), quick=True)

    assert "sb3" in updates.variants


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="Did you mean 'updates'"):
        choose(("update",), quick=False)


def test_a_variant_can_be_left_out_with_what_is_promised_of_it() -> None:
    [updates] = choose(("updates",), quick=False, without=("torch-compile",))

    assert "torch-compile" not in updates.variants
    assert updates.requirements == ()
    assert updates.notes[-1] == "Left out of this run: PyTorch, compiled."


def test_the_guides_pair_is_measured_as_the_registry_says() -> None:
    for name, workload in WORKLOADS.items():
        assert choose((name,), quick=False) == [workload]


@pytest.mark.parametrize("name", ["training", "updates", "inference", "startup", "memory", "size"])
def test_another_pair_is_also_measured_in_a_style_of_its_own(name: str) -> None:
    [workload] = choose((name,), quick=False, pair="other")

    own = workload.variants.index("legacy-own")
    assert {VARIANTS[each].framework for each in workload.variants[:own]} == {"legacy"}
    assert VARIANTS[workload.variants[own + 1]].framework == "torch"
    assert workload.requirements == ()


def test_no_text_about_another_pair_is_of_the_guides_network() -> None:
    for name in ("training", "updates", "inference", "startup", "memory", "size"):
        [workload] = choose((name,), quick=False, pair="other")

        assert not any(
            word in workload.what + workload.title for word in ("DQN", "12,165", "guide")
        )


def test_a_style_of_its_own_can_be_left_out() -> None:
    [updates] = choose(("updates",), quick=False, without=("legacy-own",), pair="other")

    assert "legacy-own" not in updates.variants


def test_a_users_pair_of_the_guides_name_is_not_the_guides() -> None:
    [updates] = choose(("updates",), quick=False, pair="dqn", pairs="mine:PAIRS")

    assert updates.title == "Updates"
