"""Work beside the main thread: hashing, checking and flushing files, which wait for the disk or let go of the interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A calculation in a thread of its own; `result` waits for it and raises what it raised."""

    def __init__(self, calculate: Callable[[], T]) -> None:
        self._calculate = calculate
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._calculate())
        except BaseException as error:  # handed to the caller of result()
            self._error = error

    def is_done(self) -> bool:
        """Return whether `result` would come at once."""
        return not self._thread.is_alive()

    def result(self) -> T:
        """Return what was calculated, after waiting for it."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]
