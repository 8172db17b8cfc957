"""Which words a run is judged in: its own, whatever has been written since."""

from __future__ import annotations

import pytest

from agent.beginning.flags import configure, parse_arguments
from agent.briefing.generations import GENERATIONS, briefing_of
from agent.folder.config import NEWEST, RunConfig
from prompts.loader import list_prompts

ASKED = ("hypothesize", "experiment", "judge", "rate")


def test_a_config_from_before_generations_were_kept_is_of_the_first_and_a_new_one_of_the_newest() -> None:
    assert RunConfig.model_validate_json('{"study": "pocket"}').generation == 1
    assert configure(parse_arguments([]), {}).generation == NEWEST == max(GENERATIONS)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_has_a_version_of_every_prompt_that_is_put_to_a_judge_or_an_investigator(
    generation: int,
) -> None:
    briefing = briefing_of(generation)
    assert briefing.generation == generation
    assert {briefing.prompt(name).name.partition(".")[0] for name in ASKED} == {*ASKED} <= {*list_prompts()}


def test_the_first_generation_asks_by_the_first_prompts_as_they_always_were() -> None:
    names = [briefing_of(1).prompt(name).name for name in ASKED]
    assert names == [f"{name}.v1" for name in ASKED]


def test_an_unknown_generation_is_refused() -> None:
    with pytest.raises(ValueError, match="generation"):
        RunConfig(generation=NEWEST + 1)
