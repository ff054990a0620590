"""One rule for each Keras optimizer: its torch class, its options, and how its slots lie in a file.

A rule is data. The order of slots in a file is a sequence of blocks: a block with two slots is written weight by weight
(m of the first, v of the first, m of the second, ...), one with a single slot is written for all weights in a row. Optimizers
of Keras <= 2.10 write every slot as a block of its own. Adding an optimizer is one entry in `RULES`.

Source: build() and get_config() of keras 2.15 and 3.15.1, _create_slots() of Keras <= 2.10, and files of all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from converters.errors import UnsupportedError
from converters.optimizers.slots import Slot
from converters.optimizers.uneven import ChooseKind, adafactor_kind, muon_kind

Config = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OptimizerRule:
    """Where an optimizer of Keras goes.

    Attributes:
        kind: class name in Keras.
        options: configuration entries that are arguments of the torch class, under the same name.
        blocks: the slots in stored order.
        legacy_blocks: the same for Keras <= 2.10, where it is not one block for each slot.
        legacy_options: arguments that optimizers of Keras <= 2.10 need besides, from their configuration.
        number: a single number stored besides the slots: the group entry of the torch class ("mu_product").
        choose_kind: for optimizers that keep other slots for a matrix than for a bias; `blocks` is then empty.
        decided: configuration entries that the conversion has used up, which are no arguments of the torch class.
        row_wise: Keras <= 2.10 leaves rows of embeddings as they are that a batch does not look up: always, or with the option
            of this name; all other formulas move them no further than a gradient of zeros does.
        in_keras_order: the torch class needs to know how the parameters lie in Keras.
    """

    kind: str
    options: tuple[str, ...]
    blocks: tuple[tuple[Slot, ...], ...]
    legacy_blocks: tuple[tuple[Slot, ...], ...] | None = None
    legacy_options: Callable[[Config], Config] = lambda config: {}
    number: str | None = None
    choose_kind: ChooseKind | None = None
    decided: tuple[str, ...] = ()
    in_keras_order: bool = False
    row_wise: bool | str = False

    @property
    def target(self) -> str:
        """Key of the torch class: its module in torch_impl and its name."""
        return f"keras_compat.{self.kind}"

    def stored_blocks(self, *, legacy: bool) -> tuple[tuple[Slot, ...], ...]:
        """Return the blocks in the order in which the given generation writes them."""
        if not legacy:
            return self.blocks
        return self.legacy_blocks or tuple((slot,) for block in self.blocks for slot in block)


def rmsprop_legacy_options(config: Config) -> Config:
    """Return where epsilon goes: beside the root, except in the fused kernel that momentum selects."""
    return {"epsilon_inside_root": bool(config.get("momentum"))}


def nadam_legacy_options(config: Config) -> Config:
    """Return the decay of the momentum schedule, which Keras <= 2.10 stores as `decay`, others as itself."""
    schedule_decay = config.get("schedule_decay", config.get("decay", 0.004))
    return {"schedule_decay": schedule_decay, "decay": 0.0}


ADAM_SLOTS = (
    (Slot("exp_avg", ("momentum", "m")), Slot("exp_avg_sq", ("velocity", "v"))),
    (Slot("max_exp_avg_sq", ("velocity_hat", "vhat"), when="amsgrad"),),
)

FTRL_SLOTS = ((Slot("accumulator", ("accumulator",)), Slot("linear", ("linear",))),)

RULES: tuple[OptimizerRule, ...] = (
    OptimizerRule("Adam", ("beta_1", "beta_2", "epsilon", "amsgrad"), ADAM_SLOTS),
    OptimizerRule("AdamW", ("weight_decay", "beta_1", "beta_2", "epsilon", "amsgrad"), ADAM_SLOTS),
    OptimizerRule(
        "SGD",
        ("momentum", "nesterov"),
        ((Slot("momentum_buffer", ("momentum", "m", "moment"), when="momentum"),),),
        row_wise="momentum",
    ),
    OptimizerRule(
        "RMSprop",
        ("rho", "momentum", "epsilon", "centered"),
        (
            (Slot("square_avg", ("velocity", "rms", "accumulator")),),
            (Slot("momentum_buffer", ("momentum",), when="momentum"),),
            (Slot("grad_avg", ("average_gradient", "mg"), when="centered"),),
        ),
        legacy_options=rmsprop_legacy_options,
        row_wise="momentum",
    ),
    OptimizerRule(
        "Adagrad",
        ("initial_accumulator_value", "epsilon"),
        ((Slot("sum", ("accumulator",)),),),
        legacy_options=lambda config: {"epsilon_inside_root": False},
    ),
    OptimizerRule(
        "Adadelta",
        ("rho", "epsilon"),
        (
            (
                Slot("square_avg", ("accumulated_grad", "accum_grad", "accumulator")),
                Slot("acc_delta", ("accumulated_delta_var", "accum_var", "delta_accumulator")),
            ),
        ),
        row_wise=True,
    ),
    OptimizerRule(
        "Adamax",
        ("beta_1", "beta_2", "epsilon"),
        ((Slot("exp_avg", ("momentum", "m")), Slot("exp_inf", ("norm", "u", "v"))),),
        row_wise=True,
    ),
    OptimizerRule(
        "Nadam",
        ("beta_1", "beta_2", "epsilon"),
        (ADAM_SLOTS[0],),
        legacy_options=nadam_legacy_options,
        decided=("schedule_decay",),
        number="mu_product",
        row_wise=True,
    ),
    OptimizerRule(
        "Ftrl",
        (
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ),
        FTRL_SLOTS,
        legacy_blocks=FTRL_SLOTS,
        row_wise=True,
    ),
    OptimizerRule("Lion", ("beta_1", "beta_2"), ((Slot("exp_avg", ("momentum", "m")),),)),
    OptimizerRule("Lamb", ("beta_1", "beta_2", "epsilon"), (ADAM_SLOTS[0],)),
    OptimizerRule(
        "ScheduleFreeAdamW",
        ("beta_1", "beta_2", "epsilon", "warmup_steps"),
        ((Slot("base", ("momentum",)), Slot("exp_avg_sq", ("velocity",))),),
    ),
    OptimizerRule(
        "Adafactor",
        ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step"),
        (),
        choose_kind=adafactor_kind,
        in_keras_order=True,
    ),
    OptimizerRule(
        "Muon",
        (
            *("adam_beta_1", "adam_beta_2", "adam_weight_decay", "epsilon", "weight_decay"),
            *("muon_a", "muon_b", "muon_c", "adam_lr_ratio"),
            *("momentum", "ns_steps", "nesterov", "rms_rate"),
        ),
        (),
        choose_kind=muon_kind,
        decided=("exclude_layers", "exclude_embeddings"),
        in_keras_order=True,
    ),
)

WITHOUT_COUNTERPART = {
    "tfoptimizer": "Keras wraps an optimizer of TensorFlow 1 and stores neither its settings nor its state",
    "multioptimizer": "it updates some weights with one optimizer and some with another, which no torch class here does",
}
"""Optimizers of Keras that are known but not converted, with the reason."""

_BY_NAME = {rule.kind.lower(): rule for rule in RULES}


def _plain_name(kind: str) -> str:
    """Return "adamw" for "Custom>AdamW", "adam_w" and "keras.optimizers.AdamW"."""
    return kind.rsplit(">", 1)[-1].rsplit(".", 1)[-1].replace("_", "").lower()


def find_rule(kind: str) -> OptimizerRule:
    """Return the rule of a stored class name or of the automatic name Keras gives its instances.

    Raises:
        UnsupportedError: There is none; the message has the nearest names.
    """
    name = _plain_name(kind)
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name in WITHOUT_COUNTERPART:
        message = f"optimizer {kind!r}: {WITHOUT_COUNTERPART[name]}"
        raise UnsupportedError(message, hint="convert the weights alone, without the optimizer")
    near = difflib.get_close_matches(name, _BY_NAME, n=2, cutoff=0.5)
    named = ", ".join(_BY_NAME[match].kind for match in near) or "none"
    message = f"no rule for optimizer {kind!r}; nearest: {named}. Known: {', '.join(r.kind for r in RULES)}"
    raise UnsupportedError(message, hint="convert the weights alone, without the optimizer")
