"""Layers over one axis, which TensorFlow computes as those over two: an axis of 1 is put in, and taken out behind it.

`tf.layers.conv1d`, Keras's `Conv1D` and their poolings write `ExpandDims`, the operation for images, and `Squeeze`.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import Translation
from converters.tensorflow_graphs.values import Known, Ref, Tensor


@dataclass(frozen=True, slots=True)
class OneAxis:
    """An operation for images that works on sequences.

    Attributes:
        x: the sequences (batch, time, channel).
        axis: the one that was put in, 1 or 2 of (batch, height, width, channel).
        squeeze: the node that takes it out.
    """

    x: Tensor
    axis: int
    squeeze: FlatNode

    @property
    def kept(self) -> int:
        """Return which of height and width is time."""
        return 2 - self.axis


def one_axis(node: FlatNode, image: Ref, translation: Translation) -> OneAxis | None:
    """Return what an operation works on if it is one for sequences; None if it is one for images."""
    before = translation.nodes.get(image[0])
    behind = translation.only_consumer(node)
    if before is None or behind is None or before.op != "ExpandDims" or behind.op != "Squeeze":
        return None
    x = translation.values.get(before.inputs[0])
    place = translation.values.get(before.inputs[1])
    if not isinstance(x, Tensor) or not isinstance(place, Known) or len(x.shape) != 3:
        return None
    axis = int(place.array.item()) % 4
    taken = behind.attributes.integers("squeeze_dims")
    if axis not in (1, 2) or len(taken) != 1 or taken[0] % 4 != axis:
        return None
    return OneAxis(x, axis, behind)


def without_axis(
    node: FlatNode, output: Tensor, found: OneAxis, translation: Translation
) -> Tensor:
    """Note the output as that of the node that takes the axis out; return it with the axis, which nothing needs."""
    translation.values[found.squeeze.name, 0] = output
    translation.done.add(found.squeeze.name)
    arguments: dict[str, object] = {"x": output, "axis": found.axis}
    return translation.operation(node, "ExpandDims", arguments)[0]
