"""Work on all cores: plain Python processes that take jobs on stdin and answer on stdout, one JSON line each.

Decoding thousands of small PNGs holds Python's lock, so threads do not help. `multiprocessing` would fork a process in
which torch may already run threads, or (spawn) import the caller's script again, which bites everybody without an
`if __name__` guard. These processes do neither, on any system.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from epurecli.threads import cores

Job = dict[str, Any]  # what JSON can hold
Result = dict[str, Any]
_FEW = 2000  # images


def processes_for(images: int) -> int:
    """How many processes pay off: small jobs are done before others have started."""
    return len(cores()) if images >= _FEW else 1


def run_jobs(
    task: str, jobs: Iterable[Job], done: Callable[[Job], None] | None = None, processes: int | None = None
) -> list[Result]:
    """Run `task` on every job; results come in the order of the jobs.

    Args:
        task: "package.module:function", a function from Job to Result.
        jobs: taken one by one as processes become free, so a generator may be long.
        done: called in this process after each job.
        processes: default one per usable core; 1 runs the jobs right here.

    Raises:
        RuntimeError: a job failed; the message holds the traceback.
    """
    processes = len(cores()) if processes is None else processes
    if processes <= 1 or not sys.executable:
        function = _resolve(task)
        results = []
        for job in jobs:
            results.append(function(job))
            if done:
                done(job)
        return results
    return _Pool(task, jobs, processes).run(done)


def _resolve(task: str) -> Callable[[Job], Result]:
    module, name = task.split(":")
    return getattr(importlib.import_module(module), name)


class _Pool:
    """One thread per process feeds it; the calling thread collects."""

    def __init__(self, task: str, jobs: Iterable[Job], processes: int) -> None:
        self._jobs = enumerate(jobs)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._answers: queue.SimpleQueue[tuple[int, Job, Result] | BaseException | None] = queue.SimpleQueue()
        self._processes = [_start(task) for _ in range(processes)]

    def run(self, done: Callable[[Job], None] | None) -> list[Result]:
        threads = [threading.Thread(target=self._feed, args=(process,), daemon=True) for process in self._processes]
        results: dict[int, Result] = {}
        finished = 0
        try:
            for thread in threads:
                thread.start()
            while finished < len(threads):
                answer = self._answers.get()
                if answer is None:
                    finished += 1
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    number, job, results[number] = answer
                    if done:
                        done(job)
        finally:
            self._stop.set()
            for process in self._processes:
                if finished < len(threads):  # something failed, here or there
                    process.kill()
                with contextlib.suppress(OSError):
                    process.stdin.close()  # the end of its jobs
                process.wait()
                process.stdout.close()
        return [results[number] for number in sorted(results)]

    def _feed(self, process: subprocess.Popen[str]) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    number, job = next(self._jobs, (None, None))
                if number is None:
                    break
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError(f"a worker process ended unexpectedly (exit code {process.wait()})")
                answer = json.loads(line)
                if "traceback" in answer:
                    raise RuntimeError(answer["traceback"])
                self._answers.put((number, job, answer))
        except BaseException as error:
            self._answers.put(error)  # the calling thread raises it
        else:
            self._answers.put(None)


def _start(task: str) -> subprocess.Popen[str]:
    package_root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    code = f"from epurecli.data.workers import serve; serve({task!r})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],  # -P: a numpy.py in the user's folder must not be imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )


def serve(task: str) -> None:
    """The body of a worker process: answer jobs until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it kills us
    answers, sys.stdout = sys.stdout, sys.stderr  # a stray print must not break the protocol
    function = _resolve(task)
    for line in sys.stdin:
        try:
            answer = function(json.loads(line))
        except Exception:
            answer = {"traceback": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
