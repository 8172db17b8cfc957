"""Small runs whose evidence and verdicts are marked, so that a test can tell where each of them turns up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from agent.folder.records import Decision
from agent.folder.store import RunFolder
from evals.review.app import create_app
from evals.review.desk import Desk
from tests.evals.worlds import decide, write_run
from tools.records import Evidence, Stratum

STRATA: tuple[Stratum, ...] = ("candidates", "near controls", "unrelated controls", "random directions")
FIRST = 7_650_001
"""Numbers of features that no text has by chance."""
VERDICTS = ("yes", "no", "undecided", None)


def see(decision: Decision, mark: str, texts: Sequence[str] = ()) -> Evidence:
    """Evidence of every kind; `mark` is in what may be seen, `veiled` in what may not."""
    pair = {
        "prompt": f"prompt {mark}",
        "seed": 0,
        "unsteered": f" without {mark}",
        "steered": f" with {mark}",
        "random": " veiled-random",
        "flipped": " veiled-flipped",
        "score_unsteered": 0.1234567,
        "score_steered": 0.2,
        "score_random": 0.1,
        "score_flipped": 0.1,
        "collapsed": False,
    }
    context = {"document": "veiled-document", "tokens": [f"text {mark}", *texts], "max_activation": 2.0}
    context |= {"activations": [2.0, *([0.5] * len(texts))]}
    return Evidence.model_validate(
        {
            "feature": decision.feature,
            "stratum": decision.stratum,
            "projection": {"top": [{"token": f" token {mark}", "weight": 0.5}, *({"token": text} for text in texts)]},
            "keywords": {
                "hits": [{"token": "veiled-hit", "word": "veiled-word", "joined": False}],
                "n_top": 10,
                "substring_hits": 1,
                "null_share": 0.7654321,
            },
            "coherence": {
                "weighted": 0.8765432,
                "deduplicated": 0.8765432,
                "n_valid": 9,
                "coverage": 0.9,
                "null_share": 0.6543219,
            },
            "activations": {"density": 0.01, "domain_lift": 3.4567891, "top": [context], "near_misses": [context]},
            "steering": {
                "metric": "veiled-metric",
                "policy": "all",
                "unit": "residual_norm",
                "strength": 0.5,
                "kl": 0.5,
                "hook_calls": 1,
                "positions_steered": 1,
                "pairs": [pair, *({**pair, "steered": text, "prompt": text} for text in texts)],
                "win_rate": 0.9876543,
                "n": 1,
                "null_win_rate": 0.4567891,
                "log_probability_lift": 0.1,
            },
            "causal": {
                "n_contexts": 1,
                "ablation_effect": 0.1,
                "survival_ratio": 0.3456789,
                "verdict": "confirmed",
                "raised": [{"token_id": 1, "token": f" raised {mark}", "change": 0.25}],
            },
        }
    )


def decide_all(n: int = 12, first: int = FIRST) -> list[Decision]:
    """Every verdict in every stratum, each with a label, a reason and a confidence that no other text has."""
    found: list[Decision] = []
    for place in range(n):
        decision = decide(first + place, VERDICTS[place % 4], 0.8123456, STRATA[place // 4 % 4])
        if decision.status == "decided":
            decision = decision.model_copy(update={"label": "veiled-label", "reasons": ("veiled-reason",)})
        found.append(decision)
    return found


def make_run(
    path: Path, decisions: Sequence[Decision], texts: Sequence[str] = (), marks: Sequence[str] | None = None
) -> Path:
    """A run folder with decisions and evidence; every feature's evidence is marked with its place, or as told."""
    write_run(path, decisions)
    given = marks or [f"mark{place}." for place in range(len(decisions))]
    RunFolder(path).write_evidence([see(one, mark, texts) for one, mark in zip(decisions, given, strict=True)])
    return path


def open_client(path: Path, annotator: str | None = None) -> TestClient:
    """A browser without JavaScript on a desk with one run."""
    return TestClient(create_app(Desk.open([path], annotator=annotator)), base_url="http://localhost")


class Page(HTMLParser):
    """A page as a browser reads it: its text, its tags, the fields of its forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._area: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "form":
            self.forms.append((given.get("action") or "", {}))
        elif tag == "input" and given.get("type") == "hidden":
            self.forms[-1][1][given["name"] or ""] = given.get("value") or ""
        elif tag == "textarea":
            self._area = given["name"] or ""
            self.forms[-1][1][self._area] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.forms[-1][1][self._area] += data.removeprefix("\n")
        else:
            self.text += data

    def form(self, ending: str) -> tuple[str, dict[str, str]]:
        return next(form for form in self.forms if form[0].endswith(ending))


class Labeller:
    """Someone who fills in forms."""

    def __init__(self, client: TestClient, run: str, name: str) -> None:
        self.client, self.run, self.name = client, run, name

    def open(self) -> Any:
        """Whatever comes next."""
        return self.client.get(f"/run/{self.run}/label", params={"annotator": self.name})

    def answer(self, reply: Any, **fields: str) -> Any:
        """Fill in the page's form and send it; the page that follows."""
        page = Page(reply.text)
        action, hidden = next(form for form in page.forms if "shown" in form[1])
        return self.client.post(action, data={**hidden, **fields})

    def undo(self, reply: Any) -> Any:
        action, hidden = Page(reply.text).form("/undo")
        return self.client.post(action, data=hidden)

    def answer_all(self, value: str = "no", limit: int = 1000) -> Any:
        reply = self.open()
        for _ in range(limit):
            if "Every feature has your answer" in reply.text:
                break
            reply = self.answer(reply, **{"answer-0": value})
            assert reply.status_code == 200, reply.text
        return reply


def marks(text: str) -> set[str]:
    """Which features' marks a page shows."""
    return set(re.findall(r"mark\d+\.", text))
