"""Templates of pages that open from disk: what is put into one is escaped, and a name it does not know is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


@cache
def load_template(file: Path) -> Template:
    """Read and compile one, once per process.

    Raises:
        TemplateError: it is not there, or none.
    """
    loader = FileSystemLoader(file.parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(file.name)
