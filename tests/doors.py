"""The commands there are, as the tree says: whoever adds one need not add it to the tests of all."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from tools.display.terminal import Parser

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "benchmarks", "evals", "tools")


def list_modules() -> list[str]:
    """The module of every command."""
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    )


def list_doors() -> list[str]:
    """What follows `python -m`."""
    return [module.removesuffix(".__main__") for module in list_modules()]


class Caught(Exception):
    """A parser that was about to parse."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser


def parser_of(module: str) -> Parser:
    """The parser that a command makes."""

    def catch(parser: Parser, *_: object, **__: object) -> argparse.Namespace:
        raise Caught(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", catch)
        try:
            import_module(module).parse_arguments([])
        except Caught as caught:
            return caught.parser
    raise AssertionError(f"{module} parses with no parser of ours")
