"""What a look at a run folder found, in kinds, counts and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["damaged", "touched", "unfinished", "unrecorded"]


class Finding(NamedTuple):
    """One thing that is not as a finished run leaves it."""

    kind: Kind
    text: str
    """One line, with counts."""
    mends: bool = False
    """Going on with the run makes it good: what is written at the end, or may be lost with the power, and is paid for by
    nothing."""


class Checked(NamedTuple):
    """What was found, and what was looked at."""

    findings: tuple[Finding, ...]
    counts: dict[str, int]
    """Records by what they are."""

    @property
    def whole(self) -> bool:
        """Everything is there and reads."""
        return not self._has("damaged")

    @property
    def finished(self) -> bool:
        """Every selected feature was decided, or failed, and what follows was written."""
        return not self._has("unfinished")

    @property
    def untouched(self) -> bool:
        """Everything agrees with the hashes there are."""
        return not self._has("touched")

    @property
    def sentence(self) -> str:
        """Whether it is all three, in words."""
        states = (
            ("whole", self.whole),
            ("finished", self.finished),
            ("untouched as far as its hashes show", self.untouched),
        )
        return ", ".join(name if holds else f"NOT {name}" for name, holds in states)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every command that shows the run's verdicts says of them first."""
        return tuple(finding.text for finding in self.findings if finding.kind != "unrecorded")

    def _has(self, kind: Kind) -> bool:
        return any(finding.kind == kind for finding in self.findings)


@dataclass
class Notes:
    """What one part of a folder shows: each kind of fault once, with its count and an example."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: Kind, cases: Sequence[str], say: Callable[[int, str], str], mends: bool = False) -> None:
        """Note a fault, if there is a case of it: `say` puts the count and the first case into a sentence."""
        if cases:
            self.findings.append(Finding(kind, say(len(cases), cases[0]), mends))
