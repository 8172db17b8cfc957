"""What a run's weights were computed in, as two arms are compared by it."""

from __future__ import annotations

import pytest

from evals.arms.settings import precision_of


@pytest.mark.parametrize(
    ("computed", "precision"),
    [
        ("cpu in float32", "float32"),
        ("cuda:0 in bfloat16; LoRA adapter of rank 8 merged", "bfloat16"),
        ("cpu in float32, from GGUF (Q4_1 210), de-quantised", "float32, from GGUF (Q4_1 210), de-quantised"),
        (
            "cpu in float32, from GGUF (Q4_1 210), de-quantised; weights drawn anew, seed 0",
            "float32, from GGUF (Q4_1 210), de-quantised",
        ),
    ],
)
def test_an_adapter_is_what_arms_may_differ_by(computed: str, precision: str) -> None:
    assert precision_of(computed) == precision
