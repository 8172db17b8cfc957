"""What a bench showed of itself, as it is stored with a run: each check, all of them, and whether the SAE belongs to the model."""

from __future__ import annotations

from tools.records import Record


class Probe(Record):
    """An SAE on a short text: does it belong to the model and the hook it is run with?"""

    hook_name: str
    n_tokens: int
    explained_variance: float
    """At the hook; 0 is what the text's mean residual explains, 1 all of it."""
    elsewhere: dict[str, float]
    """The same at every other place of the residual stream: before each block and after the last."""
    lowest: float
    """The least that is taken for a reconstruction."""
    margin: float
    """By so much another place may be explained better by chance."""
    without_direction: int = 0
    """Features whose decoder row is 0: there is nothing to look at, and they are never selected."""
    usual_norm: float | None = None
    """Median length of the residual stream at the hook; None in runs from before sinks were looked for."""
    sink_multiple: float | None = None
    """Positions that many times as long count as no text: attention sinks."""
    sinks: int = 0
    """How many of the text's positions are, which `n_tokens` and the figures leave out."""

    @property
    def refusal(self) -> str | None:
        """Why nothing could be said by such an SAE; None if something can."""
        own = self.explained_variance
        if own >= 0:
            return None
        return (
            f"explains less than nothing of the residual stream at {self.hook_name} ({own:.0%} of the variance, where "
            "their mean explains 0 %): give the SAE that was trained on this model at this hook"
        )

    @property
    def doubt(self) -> str | None:
        """Why it does not seem to belong; None if it does."""
        own = self.explained_variance
        found = f"explains {own:.0%} of the variance at {self.hook_name}"
        best = max(self.elsewhere, key=lambda name: self.elsewhere[name], default=self.hook_name)
        if best in self.elsewhere and self.elsewhere[best] > max(own + self.margin, self.lowest):
            return (
                f"{found} but {self.elsewhere[best]:.0%} at {best}: it was trained elsewhere than the arm says; "
                "correct hook_name or give the SAE trained there"
            )
        if own < self.lowest:
            return (
                f"{found}, and {self.lowest:.0%} is the least of one that belongs there: "
                "give the SAE that was trained on this model at this hook"
            )
        return None


class Check(Record):
    """One thing that a bench must do to be believed, measured on its own model."""

    name: str
    shows: str
    """What holds if it passed."""
    measured: float | None
    """None: no finite number came out."""
    limit: float
    """What `measured` may be at most."""
    unit: str
    rests_on: tuple[str, ...]
    """The libraries that it would be the fault of, as they are imported."""

    @property
    def passed(self) -> bool:
        """Not so where no number came out."""
        return self.measured is not None and self.measured <= self.limit


class Proof(Record):
    """A bench on its own model: does it do what every instrument takes for granted?"""

    checks: tuple[Check, ...]
    packages: dict[str, str]
    """Versions of the libraries underneath."""
    proved: str
    """UTC, ISO 8601: when the checks were made."""
    seconds: float
    """That they took."""
    remembered: bool = False
    """They were made before, with the same weights and libraries, and were not made again."""
    allowed: str | None = None
    """The reason somebody gave for going on although a check had failed."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def sentence(self) -> str:
        """What was checked, how it ended, and with which libraries, in one line."""
        versions = ", ".join(f"{name} {self.packages.get(name)}" for name in ("transformers", "transformer_lens"))
        n = len(self.checks)
        if self.failed:
            return (
                f"FAILED: {len(self.failed)} of {n} checks of the bench ({versions}); allowed because: {self.allowed}"
            )
        when = f"on {self.proved[:10]}, remembered" if self.remembered else f"in {self.seconds:.1f} s"
        return f"{n} of {n} checks of the bench passed {when} ({versions})"

    def explain(self, check: Check) -> str:
        """A failed check in one line, with the libraries it rests on."""
        libraries = " with ".join(
            f"{name} {self.packages.get(name, 'of an unknown version')}" for name in check.rests_on
        )
        measured = "no number" if check.measured is None else f"{check.measured:.3g} {check.unit}"
        return f"it does not hold that {check.shows}: {measured}, where at most {check.limit:g} is right ({libraries})"
