"""Pickles of RL libraries, plain, cloudpickle's, joblib's or `numpy.save`'s: read by their opcodes, told apart by what they hold.

A list of arrays is what Keras's `get_weights` gave where a configuration is given, and a library's policy otherwise. Every kind of content is one function of `CONTENTS`: it gets the value and returns what it is, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.agents.facts import AgentFacts
from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays
from converters.errors import UnsafeFileError, UnsupportedError, placed
from converters.limits import Limits
from converters.readers.files.inner import archive_of
from converters.readers.files.keras_settings import Architecture, provenance
from converters.readers.files.source import Source
from converters.readers.pickles import Pickle, PickledObject, read_pickle
from converters.readers.pickles.holding import array_info, named_layers, provenance_of
from converters.readers.pickles.joblib_arrays import decompress, first_bytes, is_compressed
from converters.readers.pickles.rllib import LIBRARY, METADATA, metadata_settings, worker_of
from converters.readers.pickles.values import ObjectArray
from converters.readers.stable_baselines import unread_code
from converters.readers.tensorflow.packed_bundle import read_packed_bundle

_SHOWN_CALLS = 3
_HEADER_OF_OBJECTS = re.compile(
    rb"\x93NUMPY[\x01\x02]\0..(\0\0)?\{'descr': '\|O', [^\n]{0,200}\n", re.DOTALL
)
_PROTOCOL_0 = (b"(lp", b"(dp")  # how a list and a dictionary begin there
_OLD_PICKLE = "is a Python pickle of protocol 0, which is not read"
_SAVE_ARRAYS = "load it where it was made and save its arrays: numpy.savez('weights.npz', *weights)"
Arrays = Mapping[str, ArrayInfo]


@dataclass(frozen=True, slots=True)
class Content:
    """What a pickle turned out to be."""

    format: str
    producer: str
    arrays: Arrays
    facts: AgentFacts


class PickledAgents:
    """Reader of pickles that hold the variables of an agent."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is a pickle, perhaps compressed as joblib does it, or with a header of `numpy.save`."""
        start = source.prefix[header_of_objects(source.prefix) :]
        return is_pickle(_start(start)) or start.startswith(_PROTOCOL_0)

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return variables and settings.

        Raises:
            UnsafeFileError: The pickle holds no variables of a known kind.
        """
        with placed(source.name):
            data = _bytes(source, limits)
            if bytes(data[:3]) in _PROTOCOL_0:
                raise UnsupportedError(_OLD_PICKLE, hint=_SAVE_ARRAYS)
            found = read_pickle(data, limits=limits)
            if architecture is not None and (weights := arrays_without_names(found, limits)):
                return _weights_in_order(weights.arrays, architecture, source, limits)
            content = next(
                (each for each in (read(found, limits) for read in CONTENTS) if each), None
            )
            if content is None:
                raise _no_agent(found)
            content = _with_metadata(content, source, limits)
        return Checkpoint(
            layers=named_layers(content.arrays),
            graph=None,
            optimizer=None,
            training=None,
            extras=[],
            provenance=provenance_of(source, content.format, content.producer),
            agent=content.facts,
        )


READER = PickledAgents()


def is_pickle(start: bytes) -> bool:
    """Tell whether bytes begin like a pickle of protocol 2 to 5."""
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def header_of_objects(prefix: bytes) -> int:
    """Return where the pickle begins in what `numpy.save` made of a list of arrays; 0: it is no such file."""
    match = _HEADER_OF_OBJECTS.match(prefix)
    return match.end() if match else 0


def _weights_in_order(
    arrays: Arrays, architecture: Architecture, source: Source, limits: Limits
) -> Checkpoint:
    """Return the arrays of `get_weights()`, in the order of the configuration's layers."""
    return Checkpoint(
        layers=[LayerArrays("", None, arrays)],
        graph=architecture.graph(limits),
        optimizer=None,
        training=None,
        extras=[],
        provenance=provenance(
            source,
            "weights-pickle",
            version=architecture.version,
            generation=architecture.generation,
            architecture=architecture,
        ),
    )


def _start(prefix: bytes) -> bytes:
    """Return the first bytes of a file, or of what is compressed in it."""
    return first_bytes(prefix) if is_compressed(prefix) else prefix


def _bytes(source: Source, limits: Limits) -> bytes | memoryview:
    if is_compressed(source.prefix):
        return decompress(source.file.read(0, source.file.size), limit=limits.max_array_bytes)
    # Mapped where it is large; arrays are views of it.
    start = header_of_objects(source.prefix)
    return source.file.read_array(start, (source.file.size - start,), np.dtype(np.uint8)).data


def _with_metadata(content: Content, source: Source, limits: Limits) -> Content:
    """Return the content with the settings that RLlib stores in a file beside it."""
    name = f"{source.main.name}{METADATA}"
    if content.facts.library != LIBRARY or not (source.main.parent / name).is_file():
        return content
    file = source.companion(name)
    settings = metadata_settings(file.read(0, min(file.size, limits.max_json_bytes)), limits)
    facts = replace(content.facts, settings={**settings, **content.facts.settings})
    return replace(content, facts=facts)


def _no_agent(found: Pickle) -> UnsafeFileError:
    called = ", ".join(name[:60] for name in found.called[:_SHOWN_CALLS])
    more = f"; loading it would call {called}" if called else ""
    message = f"is a Python pickle without the variables of an agent; reading it would run code from the file; refused{more}"
    hint = "Load it where it was made and save it with model.save('model.h5') or model.save('model.keras')."
    return UnsafeFileError(message, hint=hint)


def _arrays(values: object) -> dict[str, ArrayInfo]:
    """Return the variables of a dictionary of names and arrays; empty: it is something else."""
    if not isinstance(values, dict) or not values:
        return {}
    found: dict[str, ArrayInfo] = {}
    for name, value in values.items():
        info = array_info(name, value) if isinstance(name, str) else None
        if info is None:
            return {}
        found[name] = info
    return found


def stable_baselines_pair(found: Pickle, limits: Limits) -> Content | None:
    """Settings and variables: `model.save(cloudpickle=True)`, and every file of stable-baselines up to 2.6."""
    pair = found.value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], dict):
        return None
    settings = {str(key): value for key, value in pair[0].items()}
    if "policy" not in settings and "observation_space" not in settings:
        return None
    library = "unnamed" if isinstance(pair[1], list) else "stable-baselines"
    facts = AgentFacts(library, settings, unread=unread_code(settings))
    arrays = _numbered(pair[1]) if library == "unnamed" else _arrays(pair[1])
    return (
        Content("stable-baselines-pickle", "stable-baselines 2", arrays, facts) if arrays else None
    )


_SAID_BY_NORMALIZERS = (
    *("norm_obs", "norm_reward", "clip_obs", "clip_reward", "epsilon", "gamma"),
    *("observation_space", "action_space"),
)


def vec_normalize(found: Pickle, limits: Limits) -> Content | None:
    """Statistics of stable-baselines' `VecNormalize`: of `save`, or those that `save_running_average` wrote."""
    value = found.value
    if not isinstance(value, PickledObject) or not value.path.endswith(
        (".VecNormalize", ".RunningMeanStd")
    ):
        return None
    # `save_running_average` wrote the statistics of observations alone, without bound and epsilon.
    facts = value.attributes if value.path.endswith(".VecNormalize") else {"obs_rms": value}
    arrays: dict[str, ArrayInfo] = {}
    for name, key in (("observation", "obs_rms"), ("return", "ret_rms")):
        statistics = facts.get(key)
        parts = statistics.attributes if isinstance(statistics, PickledObject) else {}
        for part in ("mean", "var", "count"):
            info = array_info(f"{name}/{part}", parts.get(part))
            if info is not None:
                arrays[info.name] = info
    settings = {key: facts[key] for key in _SAID_BY_NORMALIZERS if key in facts}
    if "observation/mean" not in arrays or "observation/var" not in arrays:
        msg = "has no statistics of observations"
        raise UnsupportedError(msg)
    if not arrays["observation/mean"].shape:
        msg = "has the statistics of one number, the returns, which only training asks for"
        raise UnsupportedError(msg, hint="those of observations are in obs_rms.pkl beside it")
    return Content(
        "stable-baselines-vecnormalize",
        "stable-baselines 2",
        arrays,
        AgentFacts("vec-normalize", settings),
    )


def baselines_act(found: Pickle, limits: Limits) -> Content | None:
    """A pair of a zip archive's bytes and settings: `act.save` of baselines' deepq."""
    pair = found.value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[1], dict):
        return None
    if not isinstance(pair[0], (bytes, memoryview)) or bytes(pair[0][:2]) != b"PK":
        return None
    archive = archive_of(bytes(pair[0]), "the archive inside")
    settings = {str(key): value for key, value in pair[1].items()}
    facts = AgentFacts("", settings, unread=unread_code(settings))
    bundle = read_packed_bundle(archive, limits)
    if bundle is not None:  # of 0.1.5 and before
        return Content("baselines-deepq", "OpenAI baselines", bundle.arrays, facts)
    if "model" not in archive.names:
        msg = "holds neither 'model' nor a checkpoint of TensorFlow, which baselines' deepq saves"
        raise UnsupportedError(msg)
    inner = read_pickle(
        decompress(archive.read("model", limits.max_array_bytes), limit=limits.max_array_bytes),
        limits=limits,
    )
    arrays = _arrays(inner.value)
    return Content("baselines-deepq", "OpenAI baselines", arrays, facts) if arrays else None


def named_variables(found: Pickle, limits: Limits) -> Content | None:
    """A dictionary of names and arrays: `save_variables` of baselines, by joblib."""
    arrays = _arrays(found.value)
    if not arrays:
        return None
    return Content("variables-pickle", "OpenAI baselines", arrays, AgentFacts(""))


def rllib_worker(found: Pickle, limits: Limits) -> Content | None:
    """The state of RLlib's worker, or of one of its policies."""
    policy = worker_of(found, limits)
    return None if policy is None else Content("rllib-checkpoint", "RLlib", *policy)


def environment(found: Pickle, limits: Limits) -> Content | None:
    """The environment that Spinning Up pickles beside its agents: no variables."""
    value = found.value
    if isinstance(value, dict) and set(value) == {"env"}:
        msg = "is the pickled environment of a Spinning Up agent and holds no weights"
        raise UnsupportedError(msg, hint="name the folder tf1_save beside it")
    return None


def dopamine_bundle(found: Pickle, limits: Limits) -> Content | None:
    """What Dopamine keeps beside a checkpoint of TensorFlow, without weights; or, with JAX, the whole agent."""
    value = found.value
    if not isinstance(value, dict) or not {"state", "training_steps"} <= set(value):
        return None
    if {"online_params", "network_params", "optimizer_state"} & set(value):
        msg = "is a checkpoint of Dopamine's agents for JAX, whose networks are no networks of TensorFlow"
        raise UnsupportedError(msg, hint="agents that Dopamine made with TensorFlow are converted")
    msg = "is what Dopamine keeps beside its checkpoint of TensorFlow, and holds no weights"
    raise UnsupportedError(msg, hint="name the folder, or the checkpoint tf_ckpt-... in it")


def arrays_without_names(found: Pickle, limits: Limits) -> Content | None:
    """A list of arrays: `save` of baselines' a2c and ppo2 in 2017, `get_weights()` of Keras."""
    value = found.value.items if isinstance(found.value, ObjectArray) else found.value
    if not isinstance(value, (list, tuple)) or not value:
        return None
    arrays = _numbered(value)
    if not arrays:
        return None
    return Content("arrays-pickle", "OpenAI baselines", arrays, AgentFacts("unnamed"))


def _numbered(value: object) -> dict[str, ArrayInfo]:
    """Return the arrays of a list by their numbers; empty: it holds something else."""
    if not isinstance(value, (list, tuple)):
        return {}
    infos = [array_info(str(number), each) for number, each in enumerate(value)]
    arrays = {info.name: info for info in infos if info is not None}
    return arrays if len(arrays) == len(value) else {}


CONTENTS: Sequence[Callable[[Pickle, Limits], Content | None]] = (
    stable_baselines_pair,
    vec_normalize,
    baselines_act,
    rllib_worker,
    environment,
    dopamine_bundle,
    named_variables,
    arrays_without_names,
)
"""Kinds of content, in the order in which they are looked for."""
