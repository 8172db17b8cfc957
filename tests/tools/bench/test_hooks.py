"""Every spelling of a place on the residual stream is that place; what is not on it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tools.bench.hooks import choose_hook, hook_of, read_hook, same_place
from tools.errors import LoadError, StudyError

POST = "blocks.3.hook_resid_post"


@pytest.mark.parametrize(
    "spelling",
    [
        POST,
        f" {POST} ",
        "blocks.3.hook_out",
        "transformer.h.3",
        "model.layers.3",
        "gpt_neox.layers.3",
        "model.decoder.layers.3",
        "model.language_model.layers.3",
        "transformer.blocks.3",
        "layers.3",
        "model.layers.3.output",
        "resid_post_layer_3",
    ],
)
def test_spellings_of_what_a_block_leaves_are_one_place(spelling: str) -> None:
    assert read_hook(spelling) == (POST, 3)


@pytest.mark.parametrize(
    "spelling", ["blocks.3.hook_resid_pre", "blocks.3.hook_in", "model.layers.3.input", "resid_pre_layer_3"]
)
def test_spellings_of_what_a_block_reads_are_one_place(spelling: str) -> None:
    assert read_hook(spelling) == ("blocks.3.hook_resid_pre", 3)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "blocks.3.hook_resid_mid",
        "blocks.3.hook_mlp_out",
        "blocks.3.hook_attn_out",
        "blocks.3.attn.hook_z",
        "blocks.3.ln1.hook_normalized",
        "blocks.3.mlp.hook_out",
        "blocks.3.attn.hook_in",
        "transformer.h.3.mlp",
        "model.layers.3.self_attn",
        "blocks.3.hook_resid_nowhere",
    ],
)
def test_place_that_is_not_on_the_residual_stream_is_refused_by_name(elsewhere: str) -> None:
    with pytest.raises(StudyError, match=rf"{elsewhere}' is not on the residual stream between blocks"):
        read_hook(elsewhere)


@pytest.mark.parametrize("text", ["hook_embed", "", "nowhere", "ln_final.hook_normalized", "blocks.x.hook_resid_pre"])
def test_name_of_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match=r"not of the form blocks\.N\.hook_resid_pre"):
        read_hook(text)


@pytest.mark.parametrize(
    "configuration",
    [
        {"metadata": {"hook_name": POST}},
        {"hook_name": POST},
        {"hook_point": POST, "hook_point_layer": 3},
        {"hook_point": "blocks.{layer}.hook_resid_post", "hook_point_layer": 3},
        {"hook_name": "blocks.{layer}.hook_resid_post", "hook_layer": 3},
        {"metadata": {"hook_name": None, "hf_hook_name": "model.layers.3"}},
        {"metadata": {}, "hook_name": POST},
    ],
)
def test_configuration_of_every_version_names_its_place(configuration: dict[str, Any]) -> None:
    named = hook_of(configuration)
    assert named is not None
    assert read_hook(named).name == POST


@pytest.mark.parametrize(
    "configuration", [{}, {"metadata": None}, {"metadata": {"hook_name": ""}}, {"hook_name": "None"}]
)
def test_configuration_may_name_no_place(configuration: dict[str, Any]) -> None:
    assert hook_of(configuration) is None


def test_place_has_to_be_named_by_somebody() -> None:
    with pytest.raises(StudyError, match="name it with --hook"):
        choose_hook("", None)
    assert choose_hook(POST, None).name == POST
    assert choose_hook("", "transformer.h.3").name == POST


def test_two_names_of_one_place_agree() -> None:
    """What one block leaves is what the next one reads."""
    assert choose_hook("blocks.4.hook_resid_pre", POST).name == "blocks.4.hook_resid_pre"
    assert same_place("model.layers.3", "blocks.4.hook_resid_pre")
    assert not same_place("blocks.3.hook_resid_pre", POST)
    assert same_place("hook_embed", "hook_embed")
    assert not same_place("hook_embed", POST)


def test_place_that_contradicts_the_sae_has_to_be_insisted_on() -> None:
    with pytest.raises(LoadError, match=r"trained at model\.layers\.3.*--hook blocks\.1\.hook_resid_pre insists"):
        choose_hook("blocks.1.hook_resid_pre", "model.layers.3")
    assert choose_hook("blocks.1.hook_resid_pre", "model.layers.3", overrides=True).layer == 1


def test_place_off_the_stream_may_be_a_misspelling_of_one_on_it() -> None:
    with pytest.raises(StudyError, match="name it with --hook"):
        choose_hook("", "blocks.3.hook_mlp_out")
    with pytest.raises(StudyError, match="name it with --hook"):
        choose_hook(POST, "blocks.3.hook_mlp_out")
    assert choose_hook(POST, "somewhere else", overrides=True).name == POST
