"""Hand-made evidence, a scripted LLM and instruments on a bench of straw, for the tests of the investigation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.briefing.first.forms import Hypotheses, InputPrediction, JudgeReply, OutputPrediction, PairChoice
from agent.briefing.first.forms import Hypothesis as Form
from agent.briefing.generations import briefing_of
from agent.briefing.hypotheses import Hypothesis, Kind
from agent.briefing.second.forms import Proposal, SidedReply
from agent.folder.config import Limits
from agent.folder.records import SelectedFeature
from agent.investigation.state import Context, FeatureState, Investigator
from agent.judges.blind import BlindJudge
from agent.judges.judge import Model
from agent.judges.rating import Rater
from agent.judges.two_sided import TwoSided
from agent.llm.reading.contents import ToolCall
from agent.llm.records import Usage
from agent.llm.replies import Reply
from agent.toolbox import Toolbox
from benchmarks.material.evidence import typical_evidence, typical_pair
from tools.catalogue.findings import PromotedWords, SentenceActivation, SentenceActivations, SteeredText, WordChange
from tools.errors import ToolError
from tools.records import Context as TextContext
from tools.records import Evidence, FeatureRef, SteeredPair
from tools.study.definition import Domain, Question

WORDS = ("heart", "blood", "surgery", "nurse", "clinic", "fever", "tumour", "vaccine", "kidney", "doctor")
TEXT = (
    "The surgeon had listened to the heart for a long time before she spoke of an operation that might , with some "
    "luck and a good deal of patience , give him another ten years of work in the garden ."
)
STEERED = (
    " heart and blood of the patient in the clinic, and the nurse came with the fever chart to the doctor who was there"
)
UNSTEERED = (
    " garden and the river, and the train was late again because of the snow that had come down on the hills all night"
)
FEATURE = FeatureRef(study="toy", sae="base", index=4711)


DOMAIN = Domain(
    name="medicine",
    definition="The care, cure, causes and study of disease and injury in people or animals.",
    guideline="guideline.md",
)
QUESTION = Question(name="toy", title="A toy", folder=Path("."), domain=DOMAIN)


def make_pairs(n: int, steered: str = STEERED, unsteered: str = UNSTEERED) -> tuple[SteeredPair, ...]:
    return tuple(typical_pair(seed, unsteered=f"{unsteered} {seed}", steered=f"{steered} {seed}") for seed in range(n))


def make_evidence(**changes: Any) -> Evidence:
    """Typical evidence of a real feature, as large as the embedded study makes it."""
    text = tuple(f" {word}" for word in TEXT.split()[:32])
    context = TextContext(
        document="secret-document",
        tokens=text,
        activations=tuple(8.1 if "heart" in token else 0.0 for token in text),
        max_activation=8.1,
    )
    quantiles = (context.model_copy(update={"quantile": 1}),) * 4
    return typical_evidence(WORDS, (context,) * 8, quantiles, make_pairs(10), **{"feature": FEATURE, **changes})


def make_form(label: str = "heart disease") -> Form:
    return Form(
        reasons="thoughts of the investigator",
        label=label,
        about_inputs=InputPrediction(
            will_activate=("His heart was failing and the ward was full of people in the same state that night.",) * 3,
            near_misses=("The old house at the corner of the street had a garden and a well behind it.",) * 3,
        ),
        about_outputs=OutputPrediction(will_be_promoted=("heart", "valve", "artery")),
    )


def make_hypothesis(label: str = "heart disease", name: str = "") -> Hypothesis:
    return Hypothesis.model_validate({**make_form(label).model_dump(), "name": name})


def make_hypotheses() -> Hypotheses:
    return Hypotheses(hypotheses=(make_form(), make_form("courage")))


TWO = (make_hypothesis(), make_hypothesis("courage"))
"""The same as an investigation carries them."""


def make_judgement(**changes: Any) -> JudgeReply:
    fields: dict[str, Any] = {
        "reasons": ("the contexts are about the heart",),
        "steered_choices": tuple(PairChoice(pair=n, steered="A") for n in range(1, 11)),
        "better_hypothesis": 1,
        "label": "heart disease",
        "relevant": "yes",
        "interpretable": 3,
        "steering": "passes",
        "confidence": 0.8,
    }
    return JudgeReply(**{**fields, **changes})


def make_sided(**changes: Any) -> SidedReply:
    fields: dict[str, Any] = {
        "reasons": ("the contexts are about the heart",),
        "steered_choices": tuple(PairChoice(pair=n, steered="A") for n in range(1, 11)),
        "better_hypothesis": "H1",
        "input_label": "heart disease",
        "input_relevant": "yes",
        "input_confidence": 0.8,
        "output_label": "drugs and wards",
        "output_relevant": "yes",
        "output_confidence": 0.7,
        "sides": "both",
        "interpretable": 3,
        "steering": "passes",
        "left_open": "nothing",
    }
    return SidedReply(**{**fields, **changes})


def make_proposal(label: str = "heart disease", kind: Kind = "meaning") -> Proposal:
    form = make_form(label)
    lists = {**form.about_inputs.model_dump(), **form.about_outputs.model_dump()}
    if kind != "meaning":
        lists = dict.fromkeys(lists, ())
    return Proposal.model_validate({"reasons": form.reasons, "kind": kind, "label": label, **lists})


def call(name: str, id: str = "call_0", **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=json.dumps(arguments), parsed=arguments)


class Asked(SimpleNamespace):
    """One request as the client got it."""

    messages: list[dict[str, Any]]
    purpose: str
    schema: Any
    tools: Sequence[Any]
    seed: int | None

    @property
    def text(self) -> str:
        return "\n".join(str(message.get("content") or "") for message in self.messages)


class ScriptedLlm:
    """Answers in order, or by a function of the request. Running out of answers is an error that names the request."""

    def __init__(self, *answers: Any, policy: Callable[[Asked], Any] | None = None) -> None:
        self._answers = list(answers)
        self._policy = policy
        self.asked: list[Asked] = []

    async def complete(
        self, messages: Sequence[Any], *, purpose: str, schema: Any = None, tools: Sequence[Any] = (), seed: Any = None
    ) -> Any:
        asked = Asked(
            messages=json.loads(json.dumps(list(messages))), purpose=purpose, schema=schema, tools=tools, seed=seed
        )
        self.asked.append(asked)
        if self._policy:
            answer = self._policy(asked)
        elif self._answers:
            answer = self._answers.pop(0)
        else:
            raise AssertionError(f"no answer is left for a request to {purpose}")
        if isinstance(answer, Exception):
            raise answer
        return self._reply(answer, len(self.asked), schema)

    def _reply(self, answer: Any, number: int, schema: Any) -> Reply[Any]:
        calls = answer if isinstance(answer, tuple) else ()
        record = None
        if not isinstance(answer, (tuple, str)):
            record = schema.model_validate_json(answer.model_dump_json())  # as the client: strict against the schema
        return Reply(
            text=answer if isinstance(answer, str) else "",
            parsed=record,
            tool_calls=calls,
            finish_reason="stop",
            usage=Usage(calls=1, input_tokens=100, output_tokens=10),
            usage_estimated=False,
            request_sha256=f"{number:064d}",
            attempts=1,
            cached=False,
        )


def measure_activations(subject: Evidence, sentences: list[str]) -> SentenceActivations:
    """Largest activation in each of the sentences you write.

    Args:
        subject: given by us.
        sentences: 1 to 12
            short texts.
    """
    if len(sentences) > 12:
        raise ToolError(f"sentences are 1 to 12, not {len(sentences)}")
    found = [
        SentenceActivation(
            sentence=s, max_activation=5.0 if "heart" in s else 0.0, peak=" heart", n_active=1, n_tokens=9
        )
        for s in sentences
    ]
    return SentenceActivations(sentences=tuple(found), largest_in_corpus=12.3)


def promote_words(subject: Evidence, words: list[str], strength: float) -> PromotedWords:
    """Change of each word's log-probability.

    Args:
        subject: given by us.
        words: single words.
        strength: 0.05 to 4.
    """
    changes = tuple(WordChange(word=word, change=0.5, whole=True) for word in words)
    return PromotedWords(strength=strength, n_prompts=1, words=changes)


def continue_text(subject: Evidence, prompt: str, strength: float) -> SteeredText:
    """How the model continues a beginning of yours.

    Args:
        subject: given by us.
        prompt: the beginning.
        strength: 0.05 to 4.
    """
    return SteeredText(
        prompt=prompt, strength=strength, unsteered=" garden", steered=" zygomatic", repeats_itself=False
    )


def explode(subject: Evidence) -> SteeredText:
    """An instrument with a bug."""
    raise ZeroDivisionError("a bug of ours")


INSTRUMENTS = (measure_activations, promote_words, continue_text, explode)


class StrawBench:
    """Hands out the evidence itself as the subject and counts how often."""

    def __init__(self) -> None:
        self.bench = SimpleNamespace(lock=threading.RLock())
        self.uses = 0

    def subject(self, evidence: Evidence) -> Evidence:
        self.uses += 1
        return evidence


def make_toolbox(folder: Path, **changes: Any) -> Toolbox:
    return Toolbox(INSTRUMENTS, folder / "tool_calls.jsonl", **{"bench": StrawBench(), **changes})


def make_context(
    folder: Path, llm: Any, judge: Any = None, evidence: Evidence | None = None, **changes: Any
) -> Context:
    """The judge is the one that `question` is for, and asks a model named `j`.

    All of it in the words of the first generation, unless `generation` says another.
    """
    evidence = evidence or make_evidence()
    rating = changes.pop("question", QUESTION).rating
    guideline = changes.pop("guideline", "A feature is medical when it is about illness.\n" * 30)
    model = Model("j", changes.pop("judge_repeats", 1), judge or llm)
    briefing = briefing_of(changes.pop("generation", 1))
    fields: dict[str, Any] = {
        "llm": llm,
        "domain": DOMAIN,
        "briefing": briefing,
        "toolbox": changes.pop("toolbox", None) or make_toolbox(folder),
        "limits": Limits(),
    }
    judging = BlindJudge if briefing.generation == 1 else TwoSided
    return Context(
        run_id="run",
        judge=Rater(model, briefing, rating, guideline) if rating else judging(model, briefing, DOMAIN, guideline),
        evidence={evidence.feature.key: evidence},
        investigator=Investigator(**{**fields, **changes}),
    )


def make_state(evidence: Evidence | None = None, **fields: Any) -> FeatureState:
    evidence = evidence or make_evidence()
    return FeatureState(item=SelectedFeature(feature=evidence.feature, stratum=evidence.stratum), **fields)
