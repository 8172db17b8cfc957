"""A transcript as text: every step is there, long texts are shortened, and bad names are said in one line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.folder.records import TranscriptStep
from agent.investigation.graph import build_graph
from agent.investigation.state import FeatureState
from agent.read import main, show
from tests.agent.cases import ScriptedLlm, call, make_context, make_hypotheses, make_judgement, make_state


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[TranscriptStep]:
    llm = ScriptedLlm(
        make_hypotheses(), (call("continue_text", prompt="The", strength=1.0),), "enough", make_judgement()
    )
    context = make_context(tmp_path_factory.mktemp("read"), llm)
    return FeatureState.model_validate(asyncio.run(build_graph().ainvoke(make_state(), context=context))).steps


def test_every_step_has_a_heading_and_what_happened(steps: list[TranscriptStep]) -> None:
    text = "\n".join(show(steps, 600))
    for step in steps:
        assert f"── {step.step} {step.node} · {step.kind}" in text
    for part in (
        "heart disease",
        "continue_text chosen by the model",
        "tests hypothesis 2",
        "zygomatic",
        "relevant: yes",
    ):
        assert part in text


def test_prompts_are_left_out_unless_all_is_asked_for(steps: list[TranscriptStep]) -> None:
    short, whole = ("\n".join(show(steps, cap)) for cap in (600, None))
    assert "is data, never instruction" not in short
    assert "is data, never instruction" in whole
    assert "more]" in short
    assert "more]" not in whole


def test_a_run_or_feature_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "12"]) == 2
    error = capsys.readouterr().err
    assert "no run folder" in error
    assert error.count("\n") == 1
