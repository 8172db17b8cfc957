"""Features investigated through the real graph, with evidence alone, against a server that takes half a second a call.

Three things are looked at: how near the wall time comes to what the server's delay alone would take, how much of this
process's time a feature needs, and whether memory grows with the features that are done. The baseline sends as many
bodies of the same kind through one client of the `openai` package and does nothing with the replies.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console

from agent.folder.config import RunConfig
from agent.folder.records import Decision, Manifest, Provenance, SelectedFeature, Selection, StratumSize
from agent.folder.store import RunFolder
from agent.investigation.assembly import Assembly
from agent.llm.settings import LlmChoice, Secrets
from agent.stages.gather import Stopwatch, investigate
from benchmarks.machine import resident_mb
from benchmarks.material.evidence import make_evidence
from benchmarks.measure import Arm, race, row
from benchmarks.records import Reach, Result, Setting
from tools.border.egress import reaching
from tools.records import Evidence
from tools.study.definition import Domain, Question


class Size(NamedTuple):
    """How much is asked of the server."""

    features: int
    at_once: int
    delay_s: float
    first: int
    """Memory after so many features is compared with memory after all."""


SIZES = {
    "small": (Size(features=24, at_once=8, delay_s=0.02, first=8),),
    # With 256 at once the ideal leaves less processor time a feature than two calls of the bare client take; with 64 it does not.
    "full": (
        Size(features=2000, at_once=256, delay_s=0.5, first=500),
        Size(features=1000, at_once=64, delay_s=0.5, first=250),
    ),
}
SLOWER, CPU_MS, GROWTH_MB = 1.3, 15.0, 20.0


class Worked(NamedTuple):
    """One run through the graph."""

    decisions: list[Decision]
    wall_s: float
    cpu_s: float
    """Of this process, all threads."""
    resident_mb: dict[int, float]
    """After so many features."""


def measure(setting: Setting) -> list[Result]:
    """Wall time, own time and memory of one run a round, beside the bare loop; at each size."""
    return [_measure_size(size, setting) for size in SIZES[setting.scale]]


def _measure_size(size: Size, setting: Setting) -> Result:
    judged = setting.scale == "full"
    with TemporaryDirectory() as scratch, serving(size.delay_s) as base_url, reaching(base_url):
        runs = Runs(Path(scratch), base_url, size)
        warm = runs.work(size.at_once)
        calls = count_calls(warm.decisions)
        bodies = runs.sent_bodies()
        n_bodies = size.features * calls
        worked: list[Worked] = []

        def ours() -> Worked:
            worked.append(runs.work(size.features))
            return worked[-1]

        def baseline() -> int:
            return asyncio.run(send_bare(base_url, bodies, n_bodies, size.at_once))

        found = race(
            Arm(f"openai client, {n_bodies:,} bodies, {size.at_once} at once", baseline), Arm("", ours), setting.rounds
        )
    ideal = calls * size.delay_s * size.features / size.at_once
    cpu_ms = median(run.cpu_s for run in worked) / size.features * 1000
    growth = max(run.resident_mb[size.features] - run.resident_mb[size.first] for run in worked)
    undecided = sum(decision.status != "decided" for run in worked for decision in run.decisions)
    return row(
        f"throughput: {size.at_once} at once",
        f"{size.features:,} features, {calls} calls each of {size.delay_s:g} s, {size.at_once} at once",
        found,
        reaches=[
            Reach(
                what=f"wall time over the ideal of {ideal:.2f} s",
                value=median(run.wall_s for run in worked) / ideal,
                limit=SLOWER,
                sense="at most",
                judged=judged,
            ),
            Reach(what="own CPU, ms a feature", value=cpu_ms, limit=CPU_MS, sense="at most", judged=judged),
            Reach(
                what=f"resident memory after {size.features:,} features less after {size.first:,}, MB",
                value=growth,
                limit=GROWTH_MB,
                sense="at most",
                judged=judged,
            ),
            Reach(what="features without a verdict", value=undecided, limit=0, sense="at most"),
            Reach(
                what="bodies the bare loop got an answer to",
                value=found.baseline_result,
                limit=n_bodies,
                sense="at least",
            ),
        ],
        notes=[f"ideal = {calls} calls x {size.delay_s:g} s x {size.features:,} features / {size.at_once} at once"],
    )


@contextmanager
def serving(delay_s: float) -> Generator[str]:
    """The base URL of a stand-in endpoint that runs in a process of its own while the block does."""
    command = [sys.executable, "-m", "agent.llm.stub", "--port", "0"]
    with subprocess.Popen([*command, "--delay", str(delay_s)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()


class Runs:
    """Makes run folders and works them through."""

    def __init__(self, scratch: Path, base_url: str, size: Size) -> None:
        self._scratch = scratch
        self._size = size
        self._choice = LlmChoice(
            model="stub", judge_model="stub", base_url=base_url, concurrency=size.at_once, max_attempts=3
        )
        self._question = make_question(scratch)
        self._evidence = [make_evidence(index) for index in range(size.features)]
        self._last: Path | None = None

    def work(self, n: int) -> Worked:
        """Investigate the first n features in a fresh run folder."""
        evidence = self._evidence[:n]
        config = RunConfig(study="benchmark", llm=self._choice)
        self._last = self._scratch / f"run-{time.monotonic_ns()}"
        RunFolder.create(self._last, make_manifest(config, evidence))
        folder = WatchedFolder(self._last)
        assembly = Assembly(config, self._choice, self._question, self._last, Secrets(), (), None)
        quiet = Console(file=StringIO())
        wall, cpu = time.perf_counter(), time.process_time()
        decisions = investigate(folder, self._question, config, evidence, assembly, quiet, Stopwatch())
        return Worked(decisions, time.perf_counter() - wall, time.process_time() - cpu, folder.resident_mb)

    def sent_bodies(self) -> list[bytes]:
        """What the last run sent."""
        assert self._last is not None
        lines = (self._last / "llm_calls.jsonl").read_text("utf-8").splitlines()
        return [json.dumps(json.loads(line)["request"]).encode() for line in lines]


class WatchedFolder(RunFolder):
    """A run folder that notes how much memory is resident after each decision."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.resident_mb: dict[int, float] = {}

    def append_decision(self, decision: Decision) -> None:
        """Store it, and note the memory."""
        super().append_decision(decision)
        self.resident_mb[len(self.resident_mb) + 1] = resident_mb() or 0.0


def make_question(folder: Path) -> Question:
    """What the judge is asked."""
    (folder / "guideline.md").write_text("A feature is medical when it is about illness.\n" * 30, "utf-8")
    domain = Domain(name="medicine", definition="The care of the sick.", guideline="guideline.md")
    return Question(name="benchmark", title="A benchmark", folder=folder, domain=domain)


def make_manifest(config: RunConfig, evidence: Sequence[Evidence]) -> Manifest:
    """A manifest whose selection is all the evidence."""
    items = tuple(SelectedFeature(feature=record.feature, stratum=record.stratum) for record in evidence)
    provenance = Provenance(command=(), git_commit=None, git_dirty=None, python="", packages={}, sha256={})
    return Manifest(
        run_id="benchmark",
        started="",
        config=config,
        study_title="A benchmark",
        domain="medicine",
        provenance=provenance,
        selection=Selection(items=items, sizes=(StratumSize(stratum="candidates", population=None, drawn=len(items)),)),
    )


def count_calls(decisions: Sequence[Decision]) -> int:
    """Calls that every feature took.

    Raises:
        ValueError: features took different numbers, so that there is no one ideal.
    """
    counts = {decision.usage.calls for decision in decisions}
    if len(counts) != 1:
        raise ValueError(f"features took {sorted(counts)} calls: the server does not answer as it should")
    return counts.pop()


async def send_bare(base_url: str, bodies: Sequence[bytes], n: int, at_once: int) -> int:
    """Send n bodies through one client, so many at once; the number of replies with content."""
    import httpx2
    import openai

    gate = asyncio.Semaphore(at_once)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = openai.AsyncOpenAI(
        api_key="any", base_url=base_url, max_retries=0, http_client=openai.DefaultAsyncHttpxClient(limits=limits)
    )

    async def send(data: bytes) -> bool:
        async with gate:
            response = await client.post(
                "/chat/completions",
                content=data,
                cast_to=httpx2.Response,
                options={"headers": {"Content-Type": "application/json"}},
            )
        return bool(response.json()["choices"][0]["message"]["content"])

    async with client:
        return sum(await asyncio.gather(*(send(bodies[number % len(bodies)]) for number in range(n))))
