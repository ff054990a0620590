"""Names from files as Python identifiers: the only way a string from a file reaches source or attributes."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable

# Attributes every nn.Module has, and names the emitted source uses; a layer named like one gets an underscore.
# The list is compared with the installed torch by a test.
MODULE_ATTRIBUTES = frozenset(
    [
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
    ]
)
SOURCE_NAMES = frozenset(
    {"self", "torch", "nn", "F", "Tensor", "operator", "super", "print", "len", "zip", "range"}
)


def identifier(text: str, *, default: str = "layer") -> str:
    """Return an ASCII Python identifier made from `text`; the same text always gives the same name.

    Not unique by itself: two texts may give one identifier; see `unique`.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"\W+", "_", ascii_text).strip("_")
    if not name:
        name = default
    if name[0].isdigit():
        name = f"{default}_{name}"
    if (
        keyword.iskeyword(name)
        or keyword.issoftkeyword(name)
        or name in MODULE_ATTRIBUTES
        or name in SOURCE_NAMES
    ):
        name += "_"
    return name


Taken = dict[str, int]
"""Names that are taken, each with the last number that was tried behind it."""


def taken_names(names: Iterable[str] = ()) -> Taken:
    """Return names as taken."""
    return dict.fromkeys(names, 1)


def unique(name: str, taken: Taken) -> str:
    """Return `name`, or `name_2`, `name_3`, ... whichever is first not taken, and take it.

    Files have thousands of one name, so that counting goes on where it ended.
    """
    candidate, number = name, taken.get(name, 1)
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[name] = number
    taken[candidate] = taken.get(candidate, 1)
    return candidate


def class_identifier(text: str, *, default: str = "ConvertedModel") -> str:
    """Return a class name in CapWords made from `text`."""
    words = re.split(
        r"[\W_]+", unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    )
    name = "".join(word[0].upper() + word[1:] for word in words if word)
    if not name or name[0].isdigit() or keyword.iskeyword(name) or name in SOURCE_NAMES:
        return default
    return name
