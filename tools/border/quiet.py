"""The switches of telemetry, tracing and unasked downloads in what we build on, all of them off while a command runs."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

QUIET = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "USE_HUB_KERNELS": "0",
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_OTEL_ENABLED": "false",
    "LANGCHAIN_OTEL_ENABLED": "false",
    "OTEL_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "false",
    "WANDB_MODE": "disabled",
    "WANDB_ERROR_REPORTING": "false",
}
"""Telemetry, tracing and unasked downloads of what we build on: off in this process, whatever the user's environment says."""


@contextmanager
def quietly(to_the_end: bool = False) -> Generator[None]:
    """Within the block, and with `to_the_end` afterwards too, the switches stand in the environment of this process.

    Programs that it starts inherit them; libraries must not have been imported before, for most look at import.
    """
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items() if not to_the_end else ():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
