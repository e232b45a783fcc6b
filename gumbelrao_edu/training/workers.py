"""Where the runs of a grid are computed: processes of this machine, or a cluster."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib import parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from .errors import BackendError

_PATIENCE = 60.0  # seconds that a cluster may be without a worker

Compute = Callable[..., Any]


@contextmanager
def workers(
    compute: Compute, backend: str, jobs: int, runs: int
) -> Iterator[tuple[Compute, tuple[type[Exception], ...]]]:
    """Set joblib up; gives what computes a run, and the errors that say that a process died.

    On a cluster joblib's threads wait for the cluster's own tasks, and the cluster tries a task
    again whose process has died. (joblib's backend for dask waits for ever for a task that dask
    has given up; that for Ray gives nothing back before the last run has ended.)

    Args:
        compute: what a worker does for one run; other processes have to be able to import it.
        backend: one of `training.BACKENDS`.
        jobs: processes on this machine.
        runs: how many there are.

    Raises:
        BackendError: when a cluster is not named or does not answer, or its package is missing.
    """
    if backend == "joblib":
        _remove_shared_memory_of_the_dead()
        with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
            yield compute, (TerminatedWorkerError,)
    elif backend == "dask":
        dask, distributed = _packages("dask", "distributed")
        if dask.config.get("scheduler-address", None) is None:
            raise BackendError(
                "backend: no dask cluster is named; set DASK_SCHEDULER_ADDRESS=tcp://HOST:8786"
            )
        try:
            client = distributed.Client()
        except (OSError, ValueError) as error:  # nobody is there, or it is no address
            raise BackendError(f"backend: no dask cluster answers; {error}") from error
        with client, parallel_config("threading", n_jobs=runs):

            def on_dask(*arguments: Any) -> Any:
                future = client.submit(compute, *arguments, pure=False)
                try:
                    return _wait(
                        future.result,
                        distributed.TimeoutError,
                        lambda: client.scheduler_info()["workers"],
                    )
                except CancelledError as error:
                    raise BackendError(
                        "backend: the dask scheduler was lost; what is done is kept, the same "
                        "command goes on"
                    ) from error

            yield on_dask, (distributed.KilledWorker,)
    else:
        (ray,) = _packages("ray")
        task = ray.remote(compute)
        with _ray_cluster(ray), parallel_config("threading", n_jobs=runs):
            crashes = ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError

            def on_ray(*arguments: Any) -> Any:
                future = task.remote(*arguments)
                return _wait(
                    lambda timeout: ray.get(future, timeout=timeout),
                    ray.exceptions.GetTimeoutError,
                    lambda: [node for node in ray.nodes() if node["Alive"]],
                )

            yield on_ray, crashes


def _wait(
    result: Callable[[float], Any], pending: type[Exception], workers: Callable[[], Sized]
) -> Any:
    """The result of a cluster's task, unless the cluster has been without a worker for long."""
    alive = time.monotonic()
    while True:
        try:
            return result(2.0)
        except pending:
            with contextlib.suppress(Exception):  # a scheduler that does not answer has none
                if len(workers()):
                    alive = time.monotonic()
            if time.monotonic() - alive > _PATIENCE:
                raise BackendError(
                    f"backend: the cluster has had no worker for {_PATIENCE:g} seconds; what is "
                    f"done is kept, the same command goes on"
                ) from None


@contextmanager
def _ray_cluster(ray: Any) -> Iterator[None]:
    """The cluster that this process is connected to, or is connected to meanwhile."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address="auto")
    except ConnectionError as error:
        raise BackendError(f"backend: {error}; RAY_ADDRESS=HOST:6379 names a cluster") from error
    try:
        yield
    finally:
        ray.shutdown()


def _remove_shared_memory_of_the_dead(folder: Path = Path("/dev/shm")) -> None:
    """Remove what joblib left in shared memory when all processes of a command were killed."""
    for path in folder.glob("*") if hasattr(os, "getuid") else ():
        named = re.fullmatch(r"(?:sem\.loky-|joblib_memmapping_folder_)(\d+)[-_].*", path.name)
        with contextlib.suppress(OSError):
            if named and path.stat().st_uid == os.getuid() and not _lives(int(named[1])):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _packages(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend: it needs {' and '.join(names)}; pip install {' '.join(names)}"
        ) from error
