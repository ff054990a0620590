"""What a training run of the Ur networks is asked to do: one plan as plain data, its presets, its checks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from experience.ur_networks import HIDDEN_SIZES, POLICY_LOSSES, VALUE_LOSSES
from experience.ur_weights import LAYOUTS, TORCH_LAYOUT

WEIGHTS_FOLDER = Path("ml") / "weights"
"""Where weights go that no --output names, as in the original."""
PLAN_FILE = "ur-plan.json"
FRAMEWORKS = ("torch", "tensorflow")
MODES = ("corrected", "faithful")
SPLITS = ("game", "order")


@dataclass(frozen=True, slots=True)
class UrPlan:
    """One training run; the defaults are the original's, as far as they are not one of its defects.

    Attributes:
        games: of self-play.
        epochs: at most.
        learning_rate: of Adam.
        batch_size: positions per step.
        depth: of the expert's search.
        output: JSON weights.
        seed: of the dice, the split, the weights, the order of the positions and dropout.
        mode: of the self-play: "corrected", or "faithful" with the original's defects.
        workers: processes that play; None: all cores.
        data: file of samples to train on; None: play.
        keep_data: file that the samples are written to as well.
        framework: "torch" or "tensorflow".
        hidden_sizes: of both networks.
        dropout: rate behind every hidden layer.
        value_loss: "mse" or "huber".
        policy_loss: "cross_entropy", "double_softmax" or "kl".
        value_gain: the networks learn tanh(value_gain * target); 0: the target as it is, as the original does.
        validation_split: share of the positions (or games) that are not trained on.
        split: "game": by whole games, drawn by the seed; "order": the last positions, as the original does.
        patience: epochs without a lower validation loss after which training ends; 0: it goes to the end.
        restore_best: the weights of the epoch with the lowest validation loss are kept, not the last ones.
        lr_step: epochs after which the learning rate drops; 0: never, as in the original.
        lr_gamma: factor of a drop.
        layout: of the kernels in `output`.
        device: "auto" or the name of one.
        amp: half precision.
        tensorboard: write events, too.
    """

    games: int = 1000
    epochs: int = 50
    learning_rate: float = 0.001
    batch_size: int = 32
    depth: int = 3
    output: str = str(WEIGHTS_FOLDER / "ml_ai_weights_pytorch.json")
    seed: int = 42
    mode: str = "corrected"
    workers: int | None = None
    data: str | None = None
    keep_data: str | None = None
    framework: str = "torch"
    hidden_sizes: tuple[int, ...] = HIDDEN_SIZES
    dropout: float = 0.1
    value_loss: str = "mse"
    policy_loss: str = "cross_entropy"
    value_gain: float = 4.0
    validation_split: float = 0.2
    split: str = "game"
    patience: int = 20
    restore_best: bool = True
    lr_step: int = 30
    lr_gamma: float = 0.1
    layout: str = TORCH_LAYOUT
    device: str = "auto"
    amp: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        rules = {
            "games, epochs and batch size must be at least 1": min(
                self.games, self.epochs, self.batch_size
            )
            >= 1,
            "the depth must be 0 to 4": 0 <= self.depth <= 4,
            "the learning rate must be positive": self.learning_rate > 0,
            "the seed must be at least 0": self.seed >= 0,
            "the validation split must be in (0, 1)": 0 < self.validation_split < 1,
            "patience, lr-step and value-gain must be at least 0": min(
                self.patience, self.lr_step, self.value_gain
            )
            >= 0,
            f"the framework must be one of {', '.join(FRAMEWORKS)}": self.framework in FRAMEWORKS,
            f"the mode must be one of {', '.join(MODES)}": self.mode in MODES,
            f"the split must be one of {', '.join(SPLITS)}": self.split in SPLITS,
            f"the value loss must be one of {', '.join(VALUE_LOSSES)}": self.value_loss
            in VALUE_LOSSES,
            f"the policy loss must be one of {', '.join(POLICY_LOSSES)}": self.policy_loss
            in POLICY_LOSSES,
            f"the layout must be one of {', '.join(LAYOUTS)}": self.layout in LAYOUTS,
            "half precision is an option of torch": not self.amp or self.framework == "torch",
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            msg = "; ".join(broken)
            raise ValueError(msg)

    def trainer_settings(self) -> dict[str, Any]:
        """Return the arguments of either framework's `UrTrainer`; Any: of several types."""
        settings: dict[str, Any] = {
            "hidden_sizes": self.hidden_sizes,
            "dropout": self.dropout,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "value_loss": self.value_loss,
            "policy_loss": self.policy_loss,
            "seed": self.seed,
        }
        if self.framework == "torch":
            settings |= {"device": self.device, "amp": self.amp}
        return settings

    def learning_rate_at(self, epoch: int) -> float:
        """Return the rate of an epoch, counted from 1; with `lr_step` 30 it first drops after the 30th."""
        drops = (epoch - 1) // self.lr_step if self.lr_step else 0
        return self.learning_rate * math.pow(self.lr_gamma, drops)

    def to_text(self) -> str:
        """Return JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


FAITHFUL: Mapping[str, Any] = {
    "mode": "faithful",
    "policy_loss": "double_softmax",
    "value_gain": 0.0,
    "split": "order",
    "restore_best": False,
    "lr_step": 0,
}
"""What the original does otherwise; Any: of several types."""

_STANDARD = UrPlan()
PRESETS: Mapping[str, UrPlan] = {
    "test": replace(
        _STANDARD,
        games=100,
        epochs=10,
        lr_step=6,
        output=str(WEIGHTS_FOLDER / "test_pytorch_weights.json"),
    ),
    "fast": replace(
        _STANDARD,
        games=500,
        epochs=25,
        lr_step=15,
        output=str(WEIGHTS_FOLDER / "ml_ai_weights_pytorch_fast.json"),
    ),
    "standard": _STANDARD,
    "production": replace(
        _STANDARD,
        games=2000,
        epochs=75,
        lr_step=45,
        depth=4,
        output=str(WEIGHTS_FOLDER / "ml_ai_weights_pytorch_v1.json"),
    ),
}
"""The original's npm scripts: train:pytorch:test, :fast, train:pytorch, :production. The learning rate drops after three fifths of
the epochs, which is the guide's StepLR(30, 0.1) for 50."""


def run_folder_of(plan: UrPlan) -> Path:
    """Return where a run keeps its samples and checkpoints: "weights.json" has ".weights.run" beside it."""
    output = Path(plan.output)
    return output.with_name(f".{output.stem}.run")


def read_plan(path: Path) -> UrPlan:
    """Return a plan that `to_text` gave.

    Raises:
        ValueError: The file cannot be read or is no plan.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        known = {field.name for field in fields(UrPlan)}
        unknown = sorted(set(content) - known)
        if unknown:
            msg = f"unknown settings {', '.join(unknown)}"
            raise ValueError(msg)
        return UrPlan(**{**content, "hidden_sizes": tuple(content["hidden_sizes"])})
    except OSError as error:
        msg = f"{path.parent}: not the folder of a training run: {path.name}: {error.strerror}"
        raise ValueError(msg) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        msg = f"{path}: not the plan of a training run: {error}"
        raise ValueError(msg) from error
