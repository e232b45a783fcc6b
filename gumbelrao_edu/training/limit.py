"""A limit of time, after which a command stops as after Ctrl-C."""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .._checks import check_number
from .errors import LimitReachedError


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the block when so many seconds are over.

    On POSIX the processes that compute for it are interrupted, too. A training then ends its step,
    saves its checkpoint, and goes on another time.

    Args:
        seconds: None for no limit.

    Raises:
        TypeError, ValueError: if the seconds have the wrong type or range.
        ValueError: outside of the main thread, too, which is the one that is interrupted.
        LimitReachedError: when they are over; it says what the interrupted command has done.

    Example:
        >>> import time
        >>> with time_limit(0.1):
        ...     time.sleep(60)
        Traceback (most recent call last):
        gumbelrao_edu.training.errors.LimitReachedError: the limit of 0.1 s is reached...
    """
    if seconds is None:
        yield
        return
    most = threading.TIMEOUT_MAX
    if not 0 < check_number(seconds, "seconds") < most:
        raise ValueError(f"seconds: expected a number above 0, below {most:g}, got {seconds}")
    reached = threading.Event()

    def interrupt() -> None:
        reached.set()
        interrupt_all()

    # A shell starts what it runs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    try:
        timer.start()
        yield
    except KeyboardInterrupt as error:
        if not reached.is_set():
            raise
        said = f"; {error}" if str(error) else ""
        raise LimitReachedError(f"the limit of {seconds:g} s is reached{said}") from None
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def interrupt_all() -> None:
    """Interrupt the main thread and, on POSIX, the processes it has begun, as a terminal does."""
    main = threading.main_thread().ident
    if not hasattr(signal, "pthread_kill") or main is None:
        _thread.interrupt_main()
        return
    for process in multiprocessing.active_children():
        with contextlib.suppress(ProcessLookupError):
            if process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
    signal.pthread_kill(main, signal.SIGINT)  # also wakes it from a wait
