"""What converts, listed from the registries: there is no second table to keep."""

from __future__ import annotations

from converters.registry import LAYERS

SECTIONS = (
    "layers",
    "operations",
    "graph_operations",
    "activations",
    "optimizers",
    "losses",
    "metrics",
    "formats",
    "outputs",
    "exports",
    "libraries",
)
OPERATION = "ops."
"""What the names of operations (nodes of keras.ops) begin with in the registry."""


def supported() -> dict[str, list[str]]:
    """Return the names of everything that has a rule, a reader or a writer, by section."""
    import converters.layers  # fills the registry
    import converters.writers.formats  # noqa: F401  # fills the registry
    from converters.agents.libraries import READ
    from converters.layers.activations import ACTIVATIONS
    from converters.legacy_files.record import SUFFIXES
    from converters.loss_names import LOSSES, METRICS, METRICS_WITH_MEMORY
    from converters.optimizers.rules import RULES
    from converters.readers import readers
    from converters.tensorflow_graphs.translate import graph_operations
    from converters.writers.registry import WRITERS

    return {
        "layers": sorted(name for name in LAYERS if not name.startswith(OPERATION)),
        "operations": sorted(
            name.removeprefix(OPERATION) for name in LAYERS if name.startswith(OPERATION)
        ),
        "graph_operations": sorted(graph_operations()),
        "activations": sorted(ACTIVATIONS),
        "optimizers": sorted(rule.kind for rule in RULES),
        "losses": sorted(LOSSES),
        "metrics": sorted({**METRICS, **METRICS_WITH_MEMORY}),
        "formats": sorted(type(reader).__module__.rpartition(".")[2] for reader in readers()),
        "outputs": sorted(WRITERS),
        "exports": sorted(set(SUFFIXES.values())),
        "libraries": [f"{name}: {what}" for name, what in sorted(READ.items())],
    }
