from __future__ import annotations

import json

import pytest

from agent.folder.config import RunConfig
from agent.llm.settings import LlmChoice


@pytest.mark.parametrize(("llm", "judge"), [(None, "rules"), (LlmChoice(model="m"), "llm")])
def test_who_judges_is_stored_and_follows_from_whether_there_is_a_model(llm: LlmChoice | None, judge: str) -> None:
    config = RunConfig(llm=llm)
    stored = json.loads(config.model_dump_json())
    assert stored["judge"] == judge
    assert RunConfig.model_validate_json(json.dumps(stored)) == config
    assert RunConfig.model_validate({**stored, "judge": "what a file says"}).judge == judge
    assert RunConfig(llm=LlmChoice(model="x")).model_copy(update={"llm": llm}).judge == judge


def test_no_other_unknown_setting_is_passed_over() -> None:
    with pytest.raises(ValueError, match="extra"):
        RunConfig.model_validate({"judges": "llm"})


@pytest.mark.parametrize(
    ("model", "called"),
    [
        ("openai-community/gpt2", "gpt2"),
        ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1"),
        ("work/medical/merged", "medical-merged"),
        ("work/medical/merged/", "medical-merged"),
        ("/store/blobs/sha256-" + "a" * 64, "sha256-" + "a" * 33),
        ("/", ""),
    ],
)
def test_a_model_is_called_by_what_tells_it_from_others(model: str, called: str) -> None:
    assert RunConfig(sae="mine", model=model).model_name == called
    assert RunConfig().model_name is None
