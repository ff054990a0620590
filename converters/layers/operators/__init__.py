"""Operations among the layers: nodes of `keras.ops`, operators on Keras tensors, functions of TensorFlow in Keras 2.

In the graph they are layers whose class is "ops." and the name of the operation; `converters.configuration.models` sees to that
for Keras 3, `tensorflow_functions` for Keras 2. One module a family; importing this package registers them all.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
