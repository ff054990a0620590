"""What the dtype policy of a quantized layer says: how many bits its weights have and in how many groups.

Keras keeps the class of a layer when it quantizes it. Other weights and another computation make it another layer
here: QuantizedDense, with the settings below in place of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping

from converters.errors import UnsupportedError

QUANTIZED = ("Dense", "EinsumDense", "Embedding", "ReversibleEmbedding")
"""Classes that Keras quantizes; attention holds such layers inside."""
QUANTIZED_TO_FLOAT8 = ("Dense", "EinsumDense")
CALIBRATED = ("Dense", "EinsumDense")
"""Classes that GPTQ and AWQ quantize, with the inputs of examples."""

DEFAULT_ROUNDING = {
    "rounds_input": True,
    "activation_range": (-127, 127),
    "activation_epsilon": 1e-7,
}
"""How the input of an int8 layer is rounded where nothing is said."""


def settle_quantization(
    class_name: str, config: Mapping[str, object]
) -> tuple[str, Mapping[str, object]]:
    """Return class and settings with the quantization of the policy as settings of their own.

    Of float8, `amax_history_length` remains, of gptq and awq `bits` and as `block_size` the rows that share a scale (None: all). `quantization` is "int8" or "int4"; `block_size` the number of weights that share a scale
    (None: one scale a column); `rounds_input` whether the input is rounded to int8 as well; `activation_range` and
    `activation_epsilon` how. Of layers without weights only the type they compute in stays, and of
    attention, where the arrays show the rest (`stored_quantization`).

    Raises:
        UnsupportedError: Weights are quantized in another way.
    """
    policy = _own_policy(config)
    inner = policy.get("config") if isinstance(policy, Mapping) else None
    if not isinstance(inner, Mapping) or "mode" not in inner:
        return class_name, config if policy is config.get("dtype") else {**config, "dtype": policy}
    mode, _, block = str(inner["mode"]).partition("/")
    settings = {**config, "dtype": str(inner.get("source_name") or "float32")}
    if class_name not in QUANTIZED:
        return class_name, settings
    if mode == "float8" and class_name in QUANTIZED_TO_FLOAT8:
        length = inner.get("amax_history_length", 1024)
        return f"Float8{class_name}", {**settings, "amax_history_length": length}
    if mode in ("gptq", "awq") and class_name in CALIBRATED:
        bits, _, size = block.partition("/")
        if bits in ("2", "3", "4", "8") and (size == "-1" or (size.isdecimal() and int(size))):
            settings |= {"quantization": mode, "bits": int(bits)}
            settings["block_size"] = None if size == "-1" else int(size)
            return f"Calibrated{class_name}", settings
    if mode not in ("int8", "int4"):
        msg = (
            f"layer '{config.get('name')}' ({class_name}) is quantized to {inner['mode']}; int8 and int4 are converted, for "
            f"{', '.join(QUANTIZED)}, float8, gptq/<bits>/<group> and awq/4/<group> for {' and '.join(CALIBRATED)}"
        )
        raise UnsupportedError(msg, hint="give the model as it was before it was quantized")
    settings["quantization"] = mode
    settings["block_size"] = int(block) if block.isdigit() else None
    quantizer = _activation_quantizer(config, mode)
    settings["rounds_input"] = quantizer is not None
    if quantizer is not None:
        settings["activation_range"] = quantizer.get("value_range", [-127, 127])
        settings["activation_epsilon"] = quantizer.get("epsilon", 1e-7)
    return f"Quantized{class_name}", settings


def _own_policy(config: Mapping[str, object]) -> object:
    """Return the policy of a layer: of a map, what it has for the layer's name, else its default."""
    policy = config.get("dtype")
    if not isinstance(policy, Mapping) or policy.get("class_name") != "DTypePolicyMap":
        return policy
    stated = policy.get("config")
    settings = stated if isinstance(stated, Mapping) else {}
    policies = settings.get("policy_map")
    for path, found in policies.items() if isinstance(policies, Mapping) else ():
        if str(path).rpartition("/")[2] == config.get("name"):
            return found
    return settings.get("default_policy") or "float32"


def _activation_quantizer(config: Mapping[str, object], mode: str) -> Mapping[str, object] | None:
    """Return the settings of what rounds the input; without a configuration, int8 has one and int4 has none."""
    stated = config.get("quantization_config")
    if not isinstance(stated, Mapping):
        return {} if mode == "int8" else None
    inner = stated.get("config")
    quantizer = inner.get("activation_quantizer") if isinstance(inner, Mapping) else None
    if not isinstance(quantizer, Mapping):
        return None
    settings = quantizer.get("config")
    return settings if isinstance(settings, Mapping) else {}
