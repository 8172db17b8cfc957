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
