"""The torch operations that only agents of RL libraries need, as `converters.targets` lists the others."""

from __future__ import annotations

_PACKAGE = "torch_impl.agent_compat"

AGENT_MODULES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "agent.LSTM": (f"{_PACKAGE}.recurrent:BaselinesLSTM", ("features", "units"), ()),
    "agent.LayerNormLSTM": (
        f"{_PACKAGE}.recurrent:BaselinesLayerNormLSTM",
        ("features", "units"),
        (),
    ),
    "agent.LogStd": (f"{_PACKAGE}.values:StateIndependentLogStd", ("actions",), ()),
    "agent.StateIndependentBias": (f"{_PACKAGE}.values:StateIndependentBias", ("actions",), ()),
    "agent.Temperature": (f"{_PACKAGE}.values:Temperature", (), ()),
    "agent.Variable": (f"{_PACKAGE}.values:Variable", ("shape",), ()),
    "agent.Bounds": (f"{_PACKAGE}.values:Bounds", ("shape",), ()),
    "agent.VecNormalize": (
        f"{_PACKAGE}.normalization:VecNormalize",
        ("shape",),
        ("clip", "epsilon"),
    ),
    "agent.SumNormalizer": (f"{_PACKAGE}.normalization:SumNormalizer", ("shape",), ()),
    "agent.MeanStdFilter": (f"{_PACKAGE}.normalization:MeanStdFilter", ("shape",), ("clip",)),
    "agent.RunningMeanStd": (
        f"{_PACKAGE}.normalization:RunningMeanStd",
        ("shape",),
        ("epsilon",),
    ),
    "agent.Denormalize": (f"{_PACKAGE}.normalization:Denormalize", ("shape",), ()),
}
"""Key to path, arguments without names, arguments with names."""
AGENT_FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    f"agent.{name}": (f"{_PACKAGE}.acting:{name}", arguments)
    for name, arguments in {
        "sample_categorical": (),
        "sample_normal": (),
        "sample_bernoulli": (),
        "clip_action": ("low", "high"),
        "scale_action": ("low", "high"),
        "expectation": ("support",),
        "one_hot_numbers": ("sizes",),
    }.items()
}
"""Key to path and arguments."""
