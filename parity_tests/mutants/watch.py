"""What may happen while a damaged file is read: numbers are read from it, or it is refused, and nothing else.

The limits are those of the promise (bytes of memory, seconds of processor time), set for this process; the events are
Python's own audit events.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

MEMORY_BYTES = 300 * 1024**2
"""Beside one and a half times what is stored, for everything: what reading may take."""
CPU_S = 10.0
"""Of one small file; the slowest sound one takes a tenth of a second."""
NATIVE_CPU_S = 2.0
"""Where a library in C reads: it is ended, and its file given to the reader's own child, which has a limit of its own."""
WALL_S = 180
"""Of one small file that waits for something; generous, since machines may be loaded."""
_CODE = {"exec", "compile", "marshal.loads", "pickle.find_class"}
_OUTSIDE = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"),
    *("os.remove", "os.rename", "os.symlink", "os.link", "ctypes.dlopen", "webbrowser.open"),
}
_LIBRARY = tuple(
    {str(Path(each).resolve()) for each in (sys.prefix, sys.base_prefix)}
    | {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), os.devnull}
)


class BrokenPromiseError(BaseException):
    """Not an Exception: no reader may take it for damage of the file."""


class Watch:
    """Raises what a reader may never cause, between `begin` and `end`."""

    def __init__(self, folder: Path, *, native: bool = False) -> None:
        """Watch what happens around a folder.

        Args:
            folder: whose files may be opened.
            native: a library in C reads, which no exception of Python stops: the process ends where it takes too long.
        """
        # The reader's own copies of what is stored packed lie beside other temporary files.
        own = str(Path(tempfile.gettempdir()) / "torchward-")
        self._allowed, self._active = (str(folder), str(folder.resolve()), own), False
        self._cpu_s = NATIVE_CPU_S if native else CPU_S
        sys.addaudithook(self._look)
        signal.signal(signal.SIGPROF, signal.SIG_DFL if native else _too_long)
        signal.signal(signal.SIGALRM, _too_long)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Watch what happens inside."""
        signal.setitimer(signal.ITIMER_PROF, self._cpu_s)
        signal.alarm(WALL_S)
        self._active = True
        try:
            yield
        finally:
            self._active = False
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._active or threading.current_thread() is not threading.main_thread():
            return
        if event == "os.remove" and str(arguments[0]).startswith(self._allowed):
            return
        if event in _OUTSIDE or (event in _CODE and not _is_library(event, arguments)):
            message = f"{event}: {str(arguments)[:100]}"
            raise BrokenPromiseError(message)
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            if not path.startswith((*self._allowed, *_LIBRARY)):
                message = f"opened {path[:100]!r}"
                raise BrokenPromiseError(message)


def _is_library(event: str, arguments: tuple[object, ...]) -> bool:
    """Tell whether code is what Python runs when it imports a module of ours or its own."""
    if event == "exec" and isinstance(arguments[0], CodeType):
        return arguments[0].co_filename.startswith((*_LIBRARY, "<frozen"))
    if event == "compile":
        return str(arguments[1]).startswith(_LIBRARY)
    return event == "marshal.loads" and _imports()


def _imports() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _too_long(number: int, frame: FrameType | None) -> None:
    del frame
    message = f"{CPU_S} seconds of processor time" if number == signal.SIGPROF else f"{WALL_S} s"
    raise BrokenPromiseError(f"took more than {message}")  # noqa: EM102


def limit_memory(stored_bytes: int) -> None:
    """Let this process take what the promise allows for a file, and no more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    taken = pages * resource.getpagesize()
    allowed = taken + MEMORY_BYTES + int(1.5 * stored_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
