"""The errors of reading and converting, and the exit code each one ends the command with.

Every message says what is wrong and where, what was found and needed, and what to do. `hint` is at most one
line, a command or an option if there is one. The command line prints `error: ...` and `hint: ...`; nothing else.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

MAX_EXAMPLES = 8
"""Options that a hint shows: it is one line."""


class ConversionError(Exception):
    """A conversion that cannot be done; the base of all errors a caller may catch.

    Attributes:
        hint: one line that says what to do, or None.
        exit_code: what the command line ends with.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UnreadableFileError(ConversionError):
    """The file is missing, truncated, corrupt or of no known format."""


class UnsafeFileError(ConversionError):
    """The file asks for something that is never done: a link, another file, more memory than it holds."""


class UnsupportedError(ConversionError):
    """The file is sound, but holds something without a rule: custom code, an unknown layer."""

    exit_code = 4


class OwnCodeError(UnsupportedError):
    """A layer or activation is code, which is not read from the file; the user's own can compute it.

    Attributes:
        name: what `--layer` calls it.
        example: a name for the class or function that the user writes.
    """

    def __init__(
        self, message: str, *, name: str = "", example: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint or own_code_hint({name: example}))
        self.name = name
        self.example = example


def own_code_hint(examples: Mapping[str, str]) -> str:
    """Return what to type for layers and activations that are code, by what `--layer` calls them."""
    options = [
        f"--layer {shlex.quote(name)}=my_layers.py:{example}" for name, example in examples.items()
    ]
    more = ", ..." if len(options) > MAX_EXAMPLES else ""
    what = "it" if len(options) == 1 else "them"
    return f"write {what} in my_layers.py and pass {' '.join(options[:MAX_EXAMPLES])}{more}"


class UsageError(UnsupportedError):
    """The call itself is wrong: a format, layout, option or module that there is not, or that does not go with this file."""

    exit_code = 2


class MismatchError(ConversionError):
    """Arrays and architecture do not belong together."""

    exit_code = 3


class AmbiguousTargetError(MismatchError):
    """More than one assignment fits; nothing is guessed."""


class VerificationError(ConversionError):
    """The converted model does not compute what the original did."""

    exit_code = 5


class OutputError(ConversionError):
    """The output exists, cannot be written or did not read back as written."""

    exit_code = 6


@contextmanager
def placed(file: str) -> Iterator[None]:
    """Put the file's name before messages of code that does not know it."""
    try:
        yield
    except ConversionError as error:
        if str(error).startswith(f"{file}: "):
            raise
        msg = f"{file}: {error}"
        raise type(error)(msg, hint=error.hint) from error
