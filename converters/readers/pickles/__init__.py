"""Pickles read as data: the opcodes are followed, nothing is imported and nothing is called.

    from converters.readers.pickles import read_pickle

    found = read_pickle(data)                 # bytes, or a memoryview of a mapped file
    found.value                               # plain Python and numpy; all else is `PickledObject` and `Reference`
    found.called                              # names that a loader would have called: "os.system"

Arrays, scalars and types of numpy, OrderedDict and the like are made by our own functions (`constructors`). Whoever reads a
format with more of them passes a table of his own, and a function for persistent ids:

    read_pickle(data, constructors={"torch._utils._rebuild_tensor_v2": rebuild}, persistent=storage)

Only shapes, numbers and names come out; a class or function of the file stays a name.
"""

from converters.readers.pickles.reader import Pickle, read_pickle
from converters.readers.pickles.values import ObjectArray, PickledObject, Reference

__all__ = ["ObjectArray", "Pickle", "PickledObject", "Reference", "read_pickle"]
