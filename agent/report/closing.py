"""What a run says when it ends: what failed and why, what to do about it, and where to read on."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.folder.config import RunConfig
from agent.folder.records import Decision, Selection, Summary
from agent.llm.calls import CallStore
from agent.llm.names import is_same_model
from agent.llm.replies import CIRCLE
from tools.probes.beside import LEAST, is_beside
from tools.records import STRATA

_SHOWN = 300
"""Characters of a message on the terminal."""


def first_messages(decisions: Sequence[Decision]) -> dict[str, str]:
    """Of each type of failure the message of the first feature that failed by it."""
    found: dict[str, str] = {}
    for decision in decisions:
        if decision.failure is not None:
            found.setdefault(decision.failure.type, decision.failure.message)
    return dict(sorted(found.items()))


def remark_on(store: CallStore) -> tuple[str, ...]:
    """What the stored calls say of the server: other models than were asked for, and what it refused."""
    others: Counter[tuple[str, str]] = Counter()
    for (asked, answered), count in store.answered.items():
        if not is_same_model(asked, answered):
            others[asked, answered] += count
    told = [f"{answered} gave {n:,} replies where {asked} was asked" for (asked, answered), n in sorted(others.items())]
    told += [sentence for notes in store.notes().values() for sentence in notes]
    return tuple(dict.fromkeys(told))


def remark_on_task(selection: Selection | None, decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Of a run over a task, how many features of each stratum are beside its point; nothing of another run."""
    basis = selection.basis if selection and selection.strategy == "effect" else {}
    label, attribute = str(basis.get("label")), str(basis.get("attribute"))
    rated = [(d.stratum, {one.concept: one.rating for one in d.ratings}) for d in decisions if d.ratings]
    if not rated or not all({label, attribute} <= given.keys() for _, given in rated):
        return ()
    beside = Counter(stratum for stratum, given in rated if is_beside(given, attribute, label))
    counts = Counter(stratum for stratum, _ in rated)
    listed = ", ".join(f"{beside[stratum]} of {counts[stratum]} {stratum}" for stratum in STRATA if counts[stratum])
    return (f"beside the point ({attribute} {LEAST} or more, and more than {label}): {listed}",)


def failure_lines(summary: Summary) -> list[str]:
    """Each type of failure with its count and an example."""
    return [
        f"failed: {count} {kind}" + (f", such as: {shown(summary.examples[kind])}" if kind in summary.examples else "")
        for kind, count in summary.failures.items()
    ]


def shown(message: str) -> str:
    """A message in one line of bearable length."""
    line = " ".join(message.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"


def remedy(run: Path, failures: Mapping[str, int], config: RunConfig, cut: str = "") -> str:
    """The command that has the failed features investigated again, with the flags that may help.

    Args:
        run: its folder.
        failures: how many of each type.
        config: of the run.
        cut: the message of a reply that was cut at its limit.
    """
    choice, limits, flags = config.llm, config.limits, dict[str, object]()
    if choice is not None and "timeout" in failures:
        flags |= {"--timeout": f"{3 * choice.timeout_seconds:g}", "--concurrency": max(1, choice.concurrency // 4)}
    if choice is not None and "rate_limited" in failures:
        flags |= {"--requests-per-minute": max(1, (choice.requests_per_minute or 60) // 2)}
    if choice is not None and choice.prices is not None:
        flags["--prices"] = choice.prices
    if "budget" in failures and limits.budget_usd is not None:
        flags |= {"--budget-usd": f"{2 * limits.budget_usd:g}"}
    if "budget" in failures and limits.budget_tokens is not None:
        flags |= {"--budget-tokens": 2 * limits.budget_tokens}
    words = ["python", "-m", "agent.run", "--resume", str(run), "--retry-failed"]
    command = shlex.join([*words, *(str(part) for pair in flags.items() for part in pair)])
    return command + _beforehand(failures, config, cut)


def _beforehand(failures: Mapping[str, int], config: RunConfig, cut: str) -> str:
    """What no flag of a resumed run can mend."""
    if "authentication" in failures:
        return "   with another key in OPENAI_API_KEY"
    if "length" in failures and CIRCLE in cut:
        return "   or anew with --temperature 0.7, or another model"
    if "length" in failures and config.llm is not None:
        return f"   or anew with --max-output-tokens {4 * config.llm.max_output_tokens}"
    if "context_length" in failures:
        return "   once the server's context is longer, or anew with another model"
    return ""


def all_failed(summary: Summary) -> str | None:
    """Why there is not one verdict, in a line; None if there is one, or there was nothing to decide."""
    n, failed = sum(row.n for row in summary.strata), sum(summary.failures.values())
    if not n or failed < n:
        return None
    kind = max(summary.failures, key=lambda kind: summary.failures[kind])
    example = shown(summary.examples.get(kind, ""))
    return f"every feature failed ({n:,} of {n:,}), {summary.failures[kind]:,} by {kind}: {example}"


def next_lines(run: Path, config: RunConfig, measures: bool) -> list[str]:
    """Where to go from here."""
    lines = [
        "",
        str(run / "report.html"),
        f"next: python -m evals.review {run}   read it, and write labels",
        f"      python -m evals.run {run} --labels FILE   how far its verdicts agree with people's",
    ]
    if config.task is not None:
        lines.append(
            f"      python -m evals.shift {run}   take out what is beside the point, and measure what that mends"
        )
    if config.strategy == "known":
        lines.append(f"      python -m evals.truth {run}   whether its labels are true")
    if measures:
        lines.append(f"      python -m evals.score {run}   what its labels are worth on text nobody labelled from")
    return [*lines, f"      python -m agent.run --replay {run}   the same decisions again from what is stored"]
