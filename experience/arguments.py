"""Arguments of the RRD suite: every flag of the original with its default, and a few of our own.

Defaults depend on environment and algorithm. A later group of overrides beats an earlier one and what the user gave
beats them all: general, kind of environment, basis algorithm, algorithm around it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

from experience.environments.names import Category, find_category

BASIS_ALGORITHMS = ("dqn", "ddpg", "td3", "sac")
ALGORITHMS = (*BASIS_ALGORITHMS, "ircr", "rrd")
AROUND_ALGORITHMS = ("ircr", "rrd")
"""Those that change the rewards of a basis algorithm."""
ENVIRONMENT_TYPES = ("ep_rews", "normal")
OPTIMIZERS = ("adam", "rmsprop")
DTYPES = ("float32", "float64")

Value = TypeVar("Value")


def flag(default: Value, text: str) -> Value:
    """Return a field of `Arguments` with what `--help` says of it."""
    made: Value = field(default=default, metadata={"help": text})
    return made


@dataclass(kw_only=True)
class Arguments:
    """What a run of the RRD suite is told, under the original's names.

    Neither frozen nor with slots: the migration guide sets `args.use_pytorch = True` and the like on it. The defaults
    written here are the general ones; `choose_defaults` and `parse_arguments` apply those of environment and algorithm.
    """

    tag: str = flag("", "stands in front of the run's name")
    alg: str = flag("rrd", "algorithm")
    basis_alg: str = flag("sac", "rrd, ircr: the algorithm that acts and learns from their rewards")
    env: str = flag("Ant-v2", "the original's name of an environment, or a Gymnasium id")
    env_type: str = flag("ep_rews", "ep_rews: the sum of rewards at the end of an episode")
    gamma: float = flag(0.99, "discount per environment step")
    epochs: int = flag(3, "a run is epochs x cycles x iterations x timesteps environment steps")
    cycles: int = flag(100, "per epoch, each with a test and a table")
    iterations: int = flag(100, "per cycle")
    timesteps: int = flag(100, "per iteration, of all environments together")
    test_rollouts: int = flag(10, "greedy episodes per cycle")
    test_timesteps: int = flag(1000, "time limit of every episode, in training as well")
    save_rews: bool = flag(True, "write log/rews/.../<env>.npz")
    buffer_size: int = flag(1_000_000, "transitions")
    batch_size: int = flag(256, "transitions")
    warmup: int = flag(10_000, "transitions in the buffer before the first update")
    train_batches: int = flag(100, "updates per iteration")
    train_target: int = flag(2, "updates between two updates of the target networks")
    obs_normalization: bool = flag(False, "normalize observations by what was seen so far")
    # Actor-critic algorithms.
    pi_lr: float = flag(3e-4, "learning rate of the policy")
    q_lr: float = flag(3e-4, "learning rate of the critics")
    polyak: float = flag(0.995, "share of the target network that stays")
    std_act: float = flag(0.1, "ddpg, td3: exploration noise, before the action's scale")
    q_reg: float = flag(1e-2, "ddpg: regularization of the critic's weights and biases")
    pi_t_std: float = flag(0.2, "td3: smoothing noise of the target policy")
    pi_t_clip: float = flag(0.5, "td3: limit of the smoothing noise")
    pi_delay_freq: int = flag(1, "td3: updates of the critics per update of the policy")
    alpha_lr: float = flag(3e-4, "sac: learning rate of the temperature; 0: it stays")
    alpha_init: float = flag(1.0, "sac: first temperature")
    # Q-learning.
    eps_l: float = flag(1.0, "dqn: exploration rate at first")
    eps_r: float = flag(0.01, "dqn: exploration rate at last")
    eps_decay: int = flag(250_000, "dqn: environment steps in between")
    optimizer: str = flag("adam", "dqn: optimizer")
    Adam_eps: float = flag(1.5e-4, "dqn: epsilon of adam")
    RMSProp_decay: float = flag(0.95, "dqn: decay of rmsprop")
    RMSProp_eps: float = flag(1e-2, "dqn: epsilon of rmsprop")
    double: bool = flag(False, "dqn: the online network chooses the action of the target")
    dueling: bool = flag(False, "dqn: value and advantage apart, on images")
    # Atari.
    sticky: bool = flag(False, "Atari: sticky actions")
    noop: int = flag(30, "Atari: idle steps at the start of an episode, the first stack included")
    frames: int = flag(4, "images in a stack")
    test_eps: float = flag(0.0, "share of random actions in tests")
    rews_scale: float = flag(1.0, "Atari: rewards are clipped to +-this where env_type is normal")
    # Return decomposition.
    r_lr: float = flag(3e-4, "rrd: learning rate of the rewards")
    rrd_batch_size: int = flag(256, "rrd: transitions; over rrd_sample_size: episodes")
    rrd_sample_size: int = flag(64, "rrd: transitions of one episode")
    rrd_bias_correction: bool = flag(False, "rrd: take off what drawing few steps adds to the loss")
    # Ours.
    use_pytorch: bool | None = flag(None, "yes, no; not given: as USE_PYTORCH says, else yes")
    cuda: bool | None = flag(None, "yes, no; not given: where there is a GPU")
    compiled: bool | None = flag(None, "compile updates; not given: on a CPU, in long runs")
    amp: bool = flag(
        False, "mixed precision: layers in bfloat16 where the device is faster with it"
    )
    seed: int = flag(0, "of weights, noise, batches and episodes")
    dtype: str = flag("float32", "of weights and observations")
    num_envs: int = flag(1, "environments stepped side by side")
    hidden_sizes: tuple[int, ...] = flag(
        (), "units of the hidden layers: 64,64; not given: the original's"
    )
    normalizer_identity_start: bool = flag(
        False, "first statistics are 0 and 1, not 0 and 0 as in the original"
    )
    checkpoint_every: int = flag(10, "cycles; 0: only at the end and when interrupted")
    tensorboard: bool = flag(False, "write log/board/...")
    log_folder: str = flag("log", "of tables, returns and TensorBoard's events")
    run_folder: str = flag("", "of checkpoints; not given: under runs/")
    resume: bool = flag(False, "go on from the last checkpoint of the run folder")
    quiet: bool = flag(False, "no tables on the screen")
    # Set from the environment, not by flags.
    obs_dims: tuple[int, ...] = ()
    acts_dims: tuple[int, ...] = ()  # (numbers of an action,), or (number of actions,)
    acts_num: int = 0  # the same as a number

    @property
    def basis(self) -> str:
        """The algorithm that acts and learns: `basis_alg` of rrd and ircr, else `alg` itself."""
        return self.basis_alg if self.alg in AROUND_ALGORITHMS else self.alg

    @property
    def env_category(self) -> Category:
        """Kind of the environment: "atari", "mujoco", or "other" for what the original did not know."""
        return find_category(self.env)

    @property
    def name(self) -> str:
        """Name of the run in file names: [tag-]alg-env."""
        parts = [self.tag, self.alg, self.env] if self.tag else [self.alg, self.env]
        return "-".join(parts).replace("/", "-")

    @property
    def discrete(self) -> bool:
        """Whether actions are numbered."""
        return self.basis == "dqn"


_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")
_NOT_FLAGS = ("obs_dims", "acts_dims", "acts_num")
_SHARED_FLAGS = ("env", "seed", "run_folder", "resume", "tensorboard", "quiet")
"""Flags that `torchward train` has for other agents as well."""
_CHOICES: Mapping[str, Sequence[str]] = {
    "alg": ALGORITHMS,
    "basis_alg": BASIS_ALGORITHMS,
    "env_type": ENVIRONMENT_TYPES,
    "optimizer": OPTIMIZERS,
    "dtype": DTYPES,
}
_ATARI: Mapping[str, object] = {
    "epochs": 10, "cycles": 20, "iterations": 500, "test_rollouts": 5, "test_timesteps": 27_000, "batch_size": 32,
    "warmup": 30_000, "test_eps": 0.001,
}  # fmt: skip
_BASIS: Mapping[str, Mapping[str, object]] = {
    "dqn": {"train_batches": 25, "train_target": 8_000, "q_lr": 6.25e-5},
    "ddpg": {"obs_normalization": True, "pi_lr": 1e-4, "q_lr": 1e-3, "polyak": 0.999},
    "td3": {"pi_delay_freq": 2},
    "sac": {"train_target": 1},
}
_RMSPROP: Mapping[str, object] = {"q_lr": 2.5e-4}
_IRCR: Mapping[str, object] = {"buffer_size": 300_000, "polyak": 0.999, "batch_size": 512}
_IRCR_HUMANOID: Mapping[str, object] = {"alpha_lr": 0.0, "alpha_init": 0.1}
_RRD_ATARI: Mapping[str, object] = {"rrd_batch_size": 32, "rrd_sample_size": 32}


def choose_defaults(**given: Any) -> Arguments:  # noqa: ANN401  values of several types
    """Return arguments with the defaults of their environment and algorithm, and what is given.

    Raises:
        ValueError: A name is unknown, or a value is out of range or of another type.
    """
    known = {each.name for each in fields(Arguments)}
    unknown = sorted(set(given) - known)
    if unknown:
        msg = f"no arguments {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        raise ValueError(msg)
    alg = given.get("alg", "rrd")
    category = find_category(given.get("env", "Ant-v2"))
    basis = given.get("basis_alg", "dqn" if category == "atari" else "sac")
    acting = basis if alg in AROUND_ALGORITHMS else alg
    layers: list[Mapping[str, object]] = [{"basis_alg": basis}]
    layers += [_ATARI] if category == "atari" else []
    layers += [_BASIS.get(acting, {})]
    layers += [_RMSPROP] if acting == "dqn" and given.get("optimizer") == "rmsprop" else []
    if alg == "ircr" and category != "atari":
        humanoid = given.get("env", "").rpartition("-v")[0] == "Humanoid"
        layers += [_IRCR_HUMANOID if humanoid else {}, _IRCR]
    layers += [_RRD_ATARI] if alg == "rrd" and category == "atari" else []
    values: dict[str, Any] = {}
    for layer in [*layers, given]:
        values.update(layer)
    arguments = Arguments(**values)
    check_arguments(arguments)
    return arguments


def parse_arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Return the arguments of a command line, without its program name; None: of this process.

    Ends the process with status 2 and a usage line if they cannot be understood, as argparse does.
    """
    parser = build_parser()
    given = vars(parser.parse_args(argv))
    try:
        return choose_defaults(**given)
    except ValueError as error:
        parser.error(str(error))


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line and names --help, as the other commands do."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2."""
        self.exit(2, f"error: {message}\nhint: {self.usage or self.prog}\n")


class _ShowHelp(argparse.Action):
    """`--help` with the defaults of the algorithm and environment that were named before it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, *_: object) -> None:
        """Print it and end the process with status 0."""
        try:
            defaults = choose_defaults(**vars(namespace))
        except ValueError as error:
            parser.error(str(error))
        build_parser(defaults).print_help()
        parser.exit()


def build_parser(defaults: Arguments | None = None) -> argparse.ArgumentParser:
    """Return a parser that knows every flag and leaves out of its result what was not given.

    Args:
        defaults: for the text of `--help`; None: the general ones.
    """
    parser = OneLineParser(
        prog="torchward train",
        usage="torchward train --alg ALG [--basis_alg ALG] [--env NAME] [--FLAG VALUE ...]; --help shows all flags",
        description="Train an agent of the RRD suite. Defaults are those of what stands before --help: name --alg, "
        "--basis_alg and --env there. Flags may be written with - in place of _.",
        argument_default=argparse.SUPPRESS,
        # A prefix would take --basis for --basis_alg today and be ambiguous tomorrow.
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--help", "-h", action=_ShowHelp, nargs=0, help="show this and exit")
    shown = defaults or Arguments()
    hints = get_type_hints(Arguments)
    for each in fields(Arguments):
        if each.name in _NOT_FLAGS:
            continue
        kinds = (bool, int, float, str)
        kind = next((k for k in kinds if hints[each.name] in (k, k | None)), None)
        convert: Callable[[str], object] = kind or parse_sizes
        options: dict[str, Any] = {"metavar": "X"}  # Any: options of argparse
        if kind is bool:
            # A flag alone is true; the original asks for a value.
            convert, options = parse_boolean, {"nargs": "?", "const": True, "metavar": "yes|no"}
        if each.name in _CHOICES:
            options = {"choices": _CHOICES[each.name]}
        value = getattr(shown, each.name)
        default = "" if value in (None, (), "") else f" [{_format_value(value)}]"
        text = each.metadata["help"] + default
        parser.add_argument(f"--{each.name}", type=convert, help=text, **options)
        if "_" in each.name:
            options |= {"dest": each.name, "help": argparse.SUPPRESS}
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=convert, **options)
    return parser


def _format_value(value: object) -> str:
    """Return a default as it would be typed."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def parse_boolean(text: str) -> bool:
    """Return whether the text is one of yes, true, t, y, 1 in any case, as in the original.

    Raises:
        ArgumentTypeError: It is none of no, false, f, n, 0 either: a misspelt "yes" would quietly be a "no".
    """
    word = text.lower()
    if word not in (*_TRUE, *_FALSE):
        msg = f"{text!r} is neither {' nor '.join(map(', '.join, (_TRUE, _FALSE)))}"
        raise argparse.ArgumentTypeError(msg)
    return word in _TRUE


def names_suite(argv: Sequence[str]) -> bool:
    """Return whether a command line has a flag that only the RRD suite knows."""
    names = {
        part.partition("=")[0].lstrip("-").replace("-", "_") for part in argv if part[:2] == "--"
    }
    own = {each.name for each in fields(Arguments)} - {*_NOT_FLAGS, *_SHARED_FLAGS}
    return bool(names & own)


def write_arguments(arguments: Arguments, path: Path) -> None:
    """Write the flags as JSON."""
    values = {name: value for name, value in asdict(arguments).items() if name not in _NOT_FLAGS}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_arguments(path: Path) -> Arguments:
    """Return what `write_arguments` wrote.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["hidden_sizes"] = tuple(values["hidden_sizes"])
        return choose_defaults(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"{path}: not the arguments of a run: {error}"
        raise ValueError(msg) from error


def parse_sizes(text: str) -> tuple[int, ...]:
    """Return the numbers of a text like "256,256".

    Raises:
        ArgumentTypeError: It is something else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        msg = f"{text!r} is no list of numbers such as 64,64"
        raise argparse.ArgumentTypeError(msg) from error


def check_arguments(arguments: Arguments) -> None:
    """Raise one ValueError with every argument that is out of range."""
    values = asdict(arguments)
    problems = [
        f"{name} {values[name]!r}; needed {' or '.join(choices)}"
        for name, choices in _CHOICES.items()
        if values[name] not in choices
    ]
    positive = (
        "epochs", "cycles", "iterations", "timesteps", "test_timesteps", "buffer_size", "batch_size", "train_target",
        "pi_delay_freq", "eps_decay", "frames", "rrd_batch_size", "rrd_sample_size", "num_envs",
    )  # fmt: skip
    problems += [
        f"{name} {values[name]}; needed at least 1" for name in positive if values[name] < 1
    ]
    natural = (
        "test_rollouts",
        "warmup",
        "train_batches",
        "noop",
        "seed",
        "checkpoint_every",
        "pi_lr",
        "q_lr",
        "alpha_lr",
        "r_lr",
    )
    problems += [f"{name} {values[name]}; needed 0 or more" for name in natural if values[name] < 0]
    shares = ("gamma", "polyak", "eps_l", "eps_r", "test_eps")
    problems += [
        f"{name} {values[name]}; needed 0 to 1" for name in shares if not 0 <= values[name] <= 1
    ]
    if arguments.hidden_sizes and (
        len(arguments.hidden_sizes) != 2 or min(arguments.hidden_sizes) < 1
    ):
        found = ",".join(map(str, arguments.hidden_sizes))
        problems.append(f"hidden_sizes {found}; needed two numbers of at least 1, such as 64,64")
    if arguments.alg == "rrd":
        if arguments.rrd_batch_size < arguments.rrd_sample_size:
            problems.append(
                f"rrd_batch_size {arguments.rrd_batch_size} holds no sample of {arguments.rrd_sample_size}"
            )
        if arguments.rrd_bias_correction and arguments.rrd_sample_size < 2:
            problems.append("rrd_bias_correction needs a rrd_sample_size of at least 2; found 1")
    if problems:
        raise ValueError("; ".join(problems))
