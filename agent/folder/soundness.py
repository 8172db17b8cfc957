"""Whether a run folder is whole, finished and untouched: what its parts owe each other, compared, counted and said.

Evidence is compared with the hash that each decision was made by, a request with the hash it is stored under, a decision with
the one its transcript ends in, a measurement with its address, the summary with the decisions. A hash is no signature: whoever
writes all of them anew is not found out here, and by a replay only where a verdict does not follow from what is stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agent.errors import RunError
from agent.folder.findings import Checked, Finding, Notes
from agent.folder.measurements import Measurement, address_of
from agent.folder.records import Decision, Manifest, Summary, TranscriptStep
from agent.folder.store import RunFolder, sha256_of
from agent.folder.stored_calls import addresses_of, digest_of, said_in_call
from agent.lines import numbered_lines, parse_record
from agent.llm.records import LlmCall
from tools.border.json_text import canonical_json
from tools.records import Evidence

Told = dict[str, list[tuple[str, str]]]
"""By request: the transcripts that tell its reply, each with a digest of what it says."""
_ADDRESS = re.compile(rb'\{"request_sha256":\s?"([0-9a-f]{64})"')
"""How a stored call begins."""


def check_folder(folder: RunFolder, *, being_written: bool = False) -> Checked:
    """Read all of a run and compare its parts.

    Args:
        folder: of the run.
        being_written: by the process that asks, which has yet to write the summary, and has itself just written the
            calls, or checked them before it went on: they are counted and not hashed again.

    Raises:
        RunError: there is no run, or its manifest does not read.
    """
    manifest, notes = folder.manifest(), Notes()
    decisions = _check_decisions(folder, manifest, notes)
    _check_evidence(folder, manifest, decisions, notes)
    told = _check_transcripts(folder, decisions, notes)
    if being_written:
        _count_calls(folder, set(told), notes)
    else:
        _check_calls(folder, manifest, told, notes)
    _check_measurements(folder, notes)
    if not being_written and all(found.kind != "unfinished" for found in notes.findings):
        _check_summary(folder, decisions, notes)
    _check_rest(folder, manifest, notes)
    return Checked(tuple(notes.findings), notes.counts)


def caveats_of(folder: RunFolder) -> tuple[str, ...]:
    """What is to be said first of a run's verdicts: of how it was measured, and of the folder as it is now.

    Raises:
        RunError: there is no run, or its manifest does not read.
    """
    return (*folder.manifest().caveats, *check_folder(folder).caveats)


def require_whole(folder: RunFolder) -> Checked:
    """See that a run may be gone on with: nothing is damaged or touched but what going on makes good.

    Raises:
        RunError: something is.
    """
    checked = check_folder(folder)
    bad = [found for found in checked.findings if found.kind in ("damaged", "touched") and not found.mends]
    if bad:
        more = f" (and {len(bad) - 1} more: python -m agent.check {folder.path})" if len(bad) > 1 else ""
        raise RunError(f"{folder.path} cannot be gone on with: {bad[0].text}{more}")
    return checked


def _check_decisions(folder: RunFolder, manifest: Manifest, notes: Notes) -> dict[str, Decision]:
    selection, found = manifest.selection, dict[str, Decision]()
    twice, foreign, strange = list[str](), list[str](), list[str]()
    wanted = {item.feature.key: item for item in selection.items} if selection else None
    for _, one in _read(folder, "decisions.jsonl", Decision, notes):
        key = one.feature.key
        if key in found:
            twice.append(key)
        elif wanted is not None and key not in wanted:
            foreign.append(key)
        else:
            found[key] = one
            if one.run_id != manifest.run_id or (wanted and wanted[key].stratum != one.stratum):
                strange.append(key)
    notes.add("damaged", twice, lambda n, one: f"decisions.jsonl holds {n:,} decisions too many on one feature ({one})")
    notes.add("damaged", foreign, lambda n, one: f"decisions.jsonl decides on {n:,} features never selected ({one})")
    notes.add("touched", strange, lambda n, one: f"{n:,} decisions are of another run or stratum, such as {one}'s")
    if wanted is None:
        notes.findings.append(Finding("unfinished", "unfinished: no features were selected yet"))
    elif len(found) < len(wanted):
        said = f"unfinished: {len(found):,} of {len(wanted):,} selected features have a decision"
        notes.findings.append(Finding("unfinished", said))
    return found


def _check_evidence(folder: RunFolder, manifest: Manifest, decisions: dict[str, Decision], notes: Notes) -> None:
    seen, touched, twice = set[str](), list[str](), list[str]()
    for value, record in _read(folder, "evidence.jsonl", Evidence, notes):
        key = record.feature.key
        if key in seen:
            twice.append(key)
            continue
        seen.add(key)
        if key in decisions and decisions[key].evidence_sha256 not in _hashes(value, record):
            touched.append(key)
    n = len(decisions)
    notes.add(
        "touched",
        touched,
        lambda k, one: (
            f"the evidence on {k:,} of {n:,} features is not what was judged (its hash differs), such as {one}"
        ),
    )
    notes.add("damaged", twice, lambda k, one: f"evidence.jsonl holds {k:,} records too many on one feature ({one})")
    needed = [item.feature.key for item in manifest.selection.items] if manifest.selection else list(decisions)
    if not folder.evidence_file.is_file() and not decisions:
        return
    missing = [key for key in needed if key not in seen]
    notes.add(
        "damaged", missing, lambda k, one: f"evidence.jsonl has nothing on {k:,} selected features, such as {one}"
    )


def _hashes(stored: Any, record: Evidence) -> tuple[str, str]:
    """Of the record as it is stored, and as it is read: by a later version it may have grown fields since."""
    return hashlib.sha256(canonical_json(stored).encode()).hexdigest(), sha256_of(record)


def _check_transcripts(folder: RunFolder, decisions: dict[str, Decision], notes: Notes) -> Told:
    """Returns what transcripts tell of each request they refer to."""
    told, missing, cut, other = Told(), list[str](), list[str](), list[str]()
    notes.counts["transcripts"] = 0
    for key, decision in decisions.items():
        try:
            steps = folder.transcript(decision.feature)
        except RunError as error:
            (cut if (folder.path / "transcripts" / f"{key}.jsonl").exists() else missing).append(_name(folder, error))
            continue
        notes.counts["transcripts"] += 1
        for step in steps:
            if step.request_sha256 is not None:
                told.setdefault(step.request_sha256, []).append((f"transcripts/{key}.jsonl", digest_of(step.content)))
        if not steps or [step.step for step in steps] != list(range(len(steps))) or steps[-1].kind != "decision":
            cut.append(f"transcripts/{key}.jsonl")
        elif not _is_same(steps[-1], decision):
            other.append(key)
    notes.add(
        "damaged", missing, lambda n, one: f"transcripts: {n:,} of {len(decisions):,} are missing ({one})", mends=True
    )
    notes.add(
        "damaged", cut, lambda n, one: f"transcripts: {n:,} of {len(decisions):,} are not complete ({one})", mends=True
    )
    notes.add(
        "touched", other, lambda n, one: f"{n:,} decisions are not those their transcripts end in, such as {one}'s"
    )
    return told


def _is_same(step: TranscriptStep, decision: Decision) -> bool:
    try:
        return Decision.model_validate_json(json.dumps(step.content)) == decision
    except ValueError:
        return False


def _check_calls(folder: RunFolder, manifest: Manifest, told: Told, notes: Notes) -> None:
    stored, touched, twice = dict[str, str | None](), list[str](), list[str]()
    for value, call in _read(folder, "llm_calls.jsonl", LlmCall, notes):
        if call.request_sha256 not in addresses_of(value, manifest.config.seed):
            touched.append(call.request_sha256[:12])
        said, before = said_in_call(call), stored.get(call.request_sha256)
        if said is not None and before is not None and said != before:
            twice.append(call.request_sha256[:12])
        stored[call.request_sha256] = said or before
    n = notes.counts["llm_calls"]
    _miss_calls(set(stored), set(told), notes)
    other = [name for sha256, steps in told.items() for name, said in steps if stored.get(sha256, said) != said]
    notes.add(
        "touched", twice, lambda k, one: f"{k:,} stored requests have another reply beside the first, such as {one}"
    )
    notes.add(
        "touched",
        other,
        lambda k, one: f"{k:,} replies in transcripts are not those stored in llm_calls.jsonl, such as one in {one}",
    )
    notes.add(
        "touched",
        touched,
        lambda k, one: (
            f"{k:,} of {n:,} stored requests are not those that were sent (their hash differs), such as {one}"
        ),
    )


def _count_calls(folder: RunFolder, asked: set[str], notes: Notes) -> None:
    file, stored = folder.path / "llm_calls.jsonl", set[str]()
    for _, line in numbered_lines(file) if file.is_file() else ():
        if found := _ADDRESS.match(line):
            stored.add(found[1].decode())
    _miss_calls(stored, asked, notes)


def _miss_calls(stored: set[str], asked: set[str], notes: Notes) -> None:
    notes.add(
        "damaged",
        sorted(asked - stored),
        lambda k, one: (
            f"llm_calls.jsonl lacks {k:,} of the {len(asked):,} replies that transcripts rest on ({one[:12]})"
        ),
    )


def _check_measurements(folder: RunFolder, notes: Notes) -> None:
    touched = [
        f"{one.instrument} on {one.feature}"
        for _, one in _read(folder, "tool_calls.jsonl", Measurement, notes)
        if one.sha256 != address_of(one.instrument, one.feature, one.arguments)
    ]
    notes.add("touched", touched, lambda n, one: f"{n:,} measurements are not those asked for, such as {one}")


def _check_summary(folder: RunFolder, decisions: dict[str, Decision], notes: Notes) -> None:
    file = folder.path / "summary.json"
    if not file.is_file():
        if decisions:
            notes.findings.append(Finding("unfinished", "unfinished: there is no summary.json"))
        return
    try:
        summary = parse_record(Summary, file.read_bytes(), str(file))
    except (RunError, OSError) as error:
        notes.findings.append(Finding("damaged", _name(folder, error), mends=True))
        return
    said = {row.stratum: (row.n, row.yes, row.no, row.undecided, row.failed) for row in summary.strata}
    verdicts = Counter((d.stratum, "failed" if d.failure else d.relevant or "rated") for d in decisions.values())
    sizes = Counter(d.stratum for d in decisions.values())
    counted = {s: (sizes[s], *(verdicts[s, name] for name in ("yes", "no", "undecided", "failed"))) for s in sizes}
    differing = [stratum for stratum in dict.fromkeys((*said, *counted)) if said.get(stratum) != counted.get(stratum)]
    differing = [stratum for stratum in differing if any(said.get(stratum, ())) or stratum in counted]
    say = "summary.json counts other verdicts than the decisions hold"
    notes.add("touched", differing, lambda n, one: f"{say} ({one})", mends=True)


def _check_rest(folder: RunFolder, manifest: Manifest, notes: Notes) -> None:
    """Files that only some runs have, and what older versions recorded nothing of."""
    if manifest.parent is not None and not (folder.path / "cases.jsonl").is_file():
        notes.findings.append(Finding("damaged", "cases.jsonl is missing: what the run judges again"))
    if not manifest.study_sha256:
        said = "this version of Unveil recorded no hash of the study's text: domain and definition cannot be compared"
        notes.findings.append(Finding("unrecorded", said))
    if manifest.measures and manifest.proof is None:
        notes.findings.append(Finding("unrecorded", "the bench was not proved by the version that made this run"))


def _read(folder: RunFolder, name: str, kind: type[Any], notes: Notes) -> Iterator[tuple[Any, Any]]:
    """Lines of a file that read, as JSON and as records, counted; those that do not are said. A missing file has none."""
    file, bad = folder.path / name, list[str]()
    count = notes.counts[name.removesuffix(".jsonl")] = 0
    if not file.is_file():
        return
    try:
        for number, line in numbered_lines(file):
            try:
                record = parse_record(kind, line, f"{file}:{number}")
                value = json.loads(line)
            except (RunError, ValueError, RecursionError) as error:
                bad.append(_name(folder, error))
                continue
            count += 1
            yield value, record
    except RunError as error:
        bad.append(_name(folder, error))
    notes.counts[name.removesuffix(".jsonl")] = count
    notes.add("damaged", bad, lambda n, one: f"{n:,} lines of {name} do not read, such as {one}")


def _name(folder: RunFolder, error: Exception) -> str:
    """The error in one line, with paths as they stand in the folder."""
    return " ".join(str(error).replace(f"{folder.path}/", "").split())[:300]
