"""What converts, listed from the registries: there is no second table to keep."""

from __future__ import annotations

from converters.registry import LAYERS

SECTIONS = (
    "layers",
    "activations",
    "optimizers",
    "losses",
    "metrics",
    "formats",
    "outputs",
    "exports",
)


def supported() -> dict[str, list[str]]:
    """Return the names of everything that has a rule, a reader or a writer, by section."""
    import converters.layers  # fills the registry
    import converters.writers.formats  # noqa: F401  # fills the registry
    from converters.layers.activations import ACTIVATIONS
    from converters.legacy_record import SUFFIXES
    from converters.loss_names import LOSSES, METRICS
    from converters.optimizers.rules import RULES
    from converters.readers import readers
    from converters.writers.registry import WRITERS

    return {
        "layers": sorted(LAYERS),
        "activations": sorted(ACTIVATIONS),
        "optimizers": sorted(rule.kind for rule in RULES),
        "losses": sorted(LOSSES),
        "metrics": sorted(METRICS),
        "formats": sorted(type(reader).__module__.rpartition(".")[2] for reader in readers()),
        "outputs": sorted(WRITERS),
        "exports": sorted(set(SUFFIXES.values())),
    }
