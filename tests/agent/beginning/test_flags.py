"""What a command line says, as a run's config has it."""

from __future__ import annotations

import pytest

from agent.beginning.flags import configure, parse_arguments
from agent.errors import RunError
from tools.records import FeatureRef


@pytest.mark.parametrize("sae", ["base", "finetuned", "release/its id"])
def test_features_are_named_by_number_or_by_key(sae: str) -> None:
    key = FeatureRef(study="pocket", sae=sae, index=700).key
    config = configure(parse_arguments(["--sae", sae, "--features", f"12,{key},700", "--judge", "rules"]), {})
    assert config.features == (12, 700)


@pytest.mark.parametrize("key", ["finetuned-000007", "base-r000007", "base-0000007"])
def test_a_key_of_something_else_is_no_feature_of_the_run(key: str) -> None:
    arguments = parse_arguments(["--sae", "base", f"--features=7,{key}", "--judge", "rules"])
    with pytest.raises(RunError, match=f"{key}: that is no feature of base"):
        configure(arguments, {})
