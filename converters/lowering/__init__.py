"""A graph of Keras layers lowered to the steps of a torch module; nothing here looks at arrays.

`graphs` walks the calls and asks the rule of each layer, `steps` names and notes what comes back, in a `state`.
"""

from converters.lowering.graphs import lower_model, with_input_shape
from converters.lowering.state import Lowering

__all__ = ["Lowering", "lower_model", "with_input_shape"]
