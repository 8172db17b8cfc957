"""Where figures come from."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.records import Machine


def describe_machine(threads: int | None) -> Machine:
    """Processor, cores, torch's threads and versions."""
    import torch

    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=threads or torch.get_num_threads(),
        python=platform.python_version(),
        torch=version("torch"),
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
