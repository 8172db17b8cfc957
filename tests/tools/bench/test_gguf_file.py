"""A GGUF file is the model it was made of: written with the format's own library, read, and compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tools.models import D_MODEL, N_LAYERS, build_model
from tools.bench.arms import check_arm_files
from tools.bench.gguf_file import load_source, read_source
from tools.bench.loading import load_arm
from tools.errors import LoadError
from tools.study.definition import Arm, Study

with_writer = pytest.importorskip("gguf")
HOOK = "blocks.1.hook_resid_pre"
HEADS, KV_HEADS = 4, 2
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""A Llama's tensors under their names in the format."""


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rotary pairs side by side, as the format has them."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def rename(name: str) -> str:
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}.get(
        name, "output.weight"
    )


def write_gguf(
    file: Path,
    model: Any,
    tokenizer: Path,
    quantised: bool = False,
    change: Callable[[Any, dict[str, Any]], None] | None = None,
    rule: str = "gpt-2",
) -> Path:
    """Write a tiny Llama; `change` may alter the tensors or add to the header."""
    writer = with_writer.GGUFWriter(file, "llama")
    config = model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _write_tokenizer(writer, tokenizer, config.vocab_size, rule)
    tensors: dict[str, Any] = {}
    for name, weight in model.state_dict().items():
        values = weight.float().numpy()
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
        tensors[rename(name)] = interleave(values, heads) if heads else values
    if change is not None:
        change(writer, tensors)
    kind = with_writer.GGMLQuantizationType.Q8_0
    for name, values in tensors.items():
        if quantised and values.ndim == 2:
            writer.add_tensor(name, with_writer.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _write_tokenizer(writer: Any, folder: Path, size: int, rule: str) -> None:
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    entries = sorted(model["vocab"], key=model["vocab"].__getitem__)
    padded = entries + [f"[PAD{i}]" for i in range(len(entries), size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(padded)
    writer.add_token_types([3, *[1] * (len(entries) - 1), *[5] * (size - len(entries))])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


@pytest.fixture(scope="module")
def llama(bench: Any) -> Any:
    """Its position encoding is not the family's default."""
    theta = {"rope_type": "default", "rope_theta": 50_000.0}
    return build_model("llama", bench.n_tokens, rope_parameters=theta, rms_norm_eps=1e-5)


@pytest.fixture
def load(study: Study, tmp_path: Path, make_sae: Callable[..., Any]) -> Callable[[Path], Any]:
    make_sae(seed=0, hook_name=HOOK, d_in=D_MODEL).save_model(str(tmp_path / "sae"))

    def load_file(file: Path) -> Any:
        own = Arm(model=str(file), sae=str(tmp_path / "sae"), hook_name="")
        return load_arm(study.model_copy(update={"arms": {"own": own}, "hub": True}), "own")

    return load_file


@pytest.fixture
def tokenizer(study_folder: Path) -> Path:
    return study_folder / "base" / "model"


def test_file_is_the_model_it_was_made_of(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor, bench: Any
) -> None:
    found = load(write_gguf(tmp_path / "tiny.gguf", llama, tokenizer))
    with torch.no_grad():
        expected = llama(tokens).logits
    torch.testing.assert_close(found.logits(tokens), expected, atol=1e-3, rtol=1e-3)
    assert found.token_strings == bench.token_strings
    assert found.tokenize("The doctor was in the river.") == bench.tokenize("The doctor was in the river.")
    assert found.bos == bench.bos
    assert found.source == f"GGUF (F32 {3 + 9 * N_LAYERS}), de-quantised"


def test_quantised_weights_are_near_and_said_to_be(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor
) -> None:
    found = load(write_gguf(tmp_path / "TINY.GGUF", llama, tokenizer, quantised=True))
    with torch.no_grad():
        expected = llama(tokens).logits
    error = (found.logits(tokens) - expected).norm() / expected.norm()
    assert 1e-6 < float(error) < 0.1
    assert found.source == f"GGUF (Q8_0 {2 + 7 * N_LAYERS}, F32 {1 + 2 * N_LAYERS}), de-quantised"


def test_stretched_frequencies_are_applied(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor
) -> None:
    """As in every file of Llama 3.1 and later, which transformers passes over."""
    factors = np.linspace(1, 8, D_MODEL // HEADS // 2, dtype=np.float32)
    file = write_gguf(
        tmp_path / "tiny.gguf",
        llama,
        tokenizer,
        change=lambda _, tensors: tensors.update({"rope_freqs.weight": factors}),
    )
    found = load(file).logits(tokens)
    rotary = llama.model.rotary_emb
    before = rotary.inv_freq.clone()
    with torch.no_grad():
        plain = llama(tokens).logits
        rotary.inv_freq.div_(torch.from_numpy(factors))
        expected = llama(tokens).logits
        rotary.inv_freq.copy_(before)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(found, plain, atol=1e-2)


DIGITWISE = (" doctor", " ", "1", "2")


@pytest.mark.parametrize(
    ("rule", "pieces"), [("smollm", DIGITWISE), ("qwen2", DIGITWISE), ("gpt-2", (" doctor", " 12"))]
)
def test_text_is_cut_as_the_file_says(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, rule: str, pieces: list[str]
) -> None:
    found = load(write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, rule=rule)).tokenizer.backend_tokenizer
    cut = [piece.replace("Ġ", " ") for piece, _ in found.pre_tokenizer.pre_tokenize_str(" doctor 12")]
    assert cut == list(pieces)


def test_rule_that_nobody_reads_is_refused(tmp_path: Path, llama: Any, tokenizer: Path, load: Any) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, rule="deepseek-llm")
    refused(lambda: load(file), r"cuts text by a rule that is not read \(deepseek-llm\)")


def test_hash_of_the_file_is_the_models_identity(
    study: Study, tmp_path: Path, llama: Any, tokenizer: Path, load: Any
) -> None:
    from hashlib import sha256

    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    assert load(file).hashes.model == sha256(file.read_bytes()).hexdigest()


def refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(LoadError, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)


def add(**values: Any) -> Callable[[Any, dict[str, Any]], None]:
    def change(writer: Any, tensors: dict[str, Any]) -> None:
        for key, value in values.items():
            key = key.replace("__", ".")
            writer.add_uint16(key, value) if isinstance(value, int) else writer.add_string(key, value)

    return change


def drop(name: str) -> Callable[[Any, dict[str, Any]], None]:
    return lambda _, tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add(split__count=3), "one of 3 parts of a model"),
        (add(general__type="adapter"), "no language model but one's adapter"),
        (add(llama__rope__scaling__type="yarn"), r"stretches its positions \(yarn\)"),
        (lambda _, tensors: tensors.clear(), "a vocabulary and no weights"),
    ],
)
def test_file_that_holds_no_whole_model_is_refused(
    tmp_path: Path, llama: Any, tokenizer: Path, change: Any, said: str
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, change=change)
    refused(lambda: read_source(file), said)


@pytest.mark.parametrize("change", [drop("blk.1.ffn_up.weight"), drop("blk.0.attn_norm.weight")])
def test_file_that_lacks_a_tensor_is_refused(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, change: Any
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, change=change)
    refused(lambda: load(file), "does not load strictly")


def test_tensor_that_lands_nowhere_is_refused(tmp_path: Path, llama: Any, tokenizer: Path, load: Any) -> None:
    extra = {"blk.0.attn_output.bias": np.ones(D_MODEL, np.float32)}
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, change=lambda _, tensors: tensors.update(extra))
    refused(lambda: load(file), "does not load strictly")


def test_damaged_file_is_refused(tmp_path: Path, llama: Any, tokenizer: Path, load: Any) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    whole = file.read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:100], b"GGUF", whole[:2000] + bytes(9000)):
        file.write_bytes(damage)
        refused(lambda: load(file), "no whole GGUF file")


def test_damaged_file_is_found_before_anything_heavy_is_loaded(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"<html>sign in to download</html>")
    own = Arm(model=str(file), sae=str(study.folder / "base" / "sae"), hook_name="")
    held = study.model_copy(update={"arms": {"own": own}, "hub": True})
    refused(lambda: check_arm_files(held, "own"), "is no GGUF file")


# Kept once it is de-quantised


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unveil" / "models"


def test_second_reading_is_the_first_bit_for_bit_and_does_not_dequantise(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor, kept: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, quantised=True, rule="smollm")
    first = load(file)
    assert [folder.name.split("-")[1:] for folder in kept.iterdir()] == [["float32", "1"]]
    before = next(kept.rglob("model.safetensors")).stat().st_mtime_ns
    again = load(file)
    assert next(kept.rglob("model.safetensors")).stat().st_mtime_ns == before
    assert torch.equal(first.logits(tokens), again.logits(tokens))
    assert (first.token_strings, first.bos, first.source) == (again.token_strings, again.bos, again.source)
    text = "The doctor 1842 was in the river."
    assert first.tokenize(text) == again.tokenize(text)
    said = [one.tokenizer.backend_tokenizer.to_str() for one in (first, again)]
    assert said[0] == said[1]


def test_each_precision_is_kept_by_itself(tmp_path: Path, llama: Any, tokenizer: Path, kept: Path) -> None:
    source = read_source(write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, quantised=True))
    fresh, again = (load_source(source, torch.bfloat16)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), again.parameters(), strict=True))
    exact = load_source(source, torch.float32)[0]
    assert all(torch.equal(a.bfloat16(), b) for a, b in zip(exact.parameters(), again.parameters(), strict=True))
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize("damage", ["model.safetensors", "kept.json"])
def test_damaged_copy_is_made_anew(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor, kept: Path, damage: str
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    expected = load(file).logits(tokens)
    whole = next(kept.rglob(damage)).read_bytes()
    next(kept.rglob(damage)).write_bytes(whole[:-40] + bytes(40))
    assert torch.equal(load(file).logits(tokens), expected)
    assert next(kept.rglob(damage)).read_bytes() == whole


def test_copy_of_another_file_is_not_this_ones(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, kept: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    load(file)
    write_gguf(file, llama, tokenizer, quantised=True)
    assert load(file).source.startswith("GGUF (Q8_0")
    assert len(list(kept.iterdir())) == 2


def test_cache_that_takes_nothing_costs_a_line(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    kept.parent.mkdir(parents=True)
    kept.write_text("a file in its place", "utf-8")
    load(file)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "are not kept in" in line]) == 1


def test_full_disk_costs_a_line_and_leaves_nothing(
    tmp_path: Path,
    llama: Any,
    tokenizer: Path,
    load: Any,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    load(file)
    assert "0 MB are free" in capsys.readouterr().err
    assert list(kept.iterdir()) == []


def test_file_of_ollamas_store_loads_though_its_name_says_nothing(
    tmp_path: Path, llama: Any, tokenizer: Path, load: Any, tokens: torch.Tensor, kept: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    expected = load(file)
    blob = file.rename(tmp_path / f"sha256-{'0' * 64}")
    for _ in range(2):  # de-quantised, and recalled
        found = load(blob)
        assert torch.equal(found.logits(tokens), expected.logits(tokens))
        assert (found.source, found.hashes) == (expected.source, expected.hashes)
        shutil.rmtree(kept, ignore_errors=True)


def test_file_that_is_neither_is_told_from_a_model(study: Study, tmp_path: Path) -> None:
    (tmp_path / "sha256-0").write_bytes(b"{}")
    own = Arm(model=str(tmp_path / "sha256-0"), sae=str(study.folder / "base" / "sae"), hook_name="")
    refused(
        lambda: check_arm_files(study.model_copy(update={"arms": {"own": own}, "hub": True}), "own"),
        "is a file, and no GGUF",
    )


def test_untrained_model_has_the_shape_of_the_files(
    tmp_path: Path, llama: Any, tokenizer: Path, study: Study, make_sae: Callable[..., Any], tokens: torch.Tensor
) -> None:
    make_sae(seed=0, hook_name=HOOK, d_in=D_MODEL).save_model(str(tmp_path / "sae"))
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    arms = {
        name: Arm(model=str(file), sae=str(tmp_path / "sae"), hook_name="", random_weights=seed)
        for name, seed in (("trained", None), ("a", 0), ("b", 1))
    }
    own = study.model_copy(update={"arms": arms, "hub": True})
    trained, a, b = (load_arm(own, name) for name in arms)
    shapes = [{n: w.shape for n, w in one.bridge.original_model.named_parameters()} for one in (trained, a, b)]
    assert shapes[0] == shapes[1] == shapes[2]
    assert a.tokenize("The doctor") == trained.tokenize("The doctor")
    assert not torch.allclose(a.logits(tokens), b.logits(tokens), atol=1e-3)
    assert len({one.hashes.model for one in (trained, a, b)}) == 3
    assert a.source == trained.source


def test_precision_asked_for_brings_no_warning(tmp_path: Path, llama: Any, tokenizer: Path, kept: Path) -> None:
    """Of transformers, whose own default from 5.24 on is to leave weights packed."""
    file = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, quantised=True)
    code = (
        "import sys, torch; from pathlib import Path; from tools.bench.gguf_file import load_source, read_source\n"
        "print(next(load_source(read_source(Path(sys.argv[1])), torch.bfloat16)[0].parameters()).dtype)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, file], cwd=root, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("torch.bfloat16\n", "")
