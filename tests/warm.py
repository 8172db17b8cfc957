"""Commands in processes of their own that need not import torch and the like first: one that has done so is forked.

A start by `python -m` that loads a model spends seconds of processor time on imports alone, whatever is tested. What is
forked differs in nothing that comes after: the project's own modules are imported in it, it can be killed and
interrupted, and it ends with the same status. Tests of imports themselves start a Python of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import mkstemp
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
LIBRARIES = ("sae_lens", "pandas", "matplotlib.pyplot", "langgraph.graph", "httpx2", "rich.progress", "scipy.optimize")


@contextlib.contextmanager
def live(
    module: str,
    arguments: Sequence[str],
    said: Path,
    *,
    errors: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ForkServerProcess]:
    """`python -W ignore -m module` while the block lasts, and no longer; what it says goes to a file, or to two.

    The module may be `-c`, with a program as the first argument. The environment is that of the tests, without what names
    an endpoint, unless another is given.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    words = (module, arguments, (str(said), str(errors or said)), environment)
    if not said.is_fifo():
        said.write_bytes(b"")
    process = context.Process(target=_become, args=words)
    with patch.dict(os.environ, PYTHONWARNINGS="ignore", OMP_NUM_THREADS="1"):  # of the process that is forked
        process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def run(
    module: str, arguments: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command to its end, with its outputs in new files of a folder meanwhile."""
    said, errors = (Path(mkstemp(dir=folder)[1]) for _ in range(2))
    with live(module, [*map(str, arguments)], said, errors=errors, environment=environment) as process:
        process.join(110)
        assert process.exitcode is not None, "it goes on and on"
    texts = said.read_text("utf-8"), errors.read_text("utf-8")
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *texts)


def _become(module: str, arguments: Sequence[str], files: tuple[str, str], environment: Mapping[str, str]) -> None:
    for stream, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
    os.environ.clear()
    os.environ.update(environment, OMP_NUM_THREADS="1")
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if module == "-c":
        program, *arguments = arguments
    else:
        program = f"import runpy\nrunpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    sys.argv = [module, *arguments]
    exec(program, {"__name__": "__main__"})
