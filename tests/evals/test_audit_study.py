"""The audit of the published study: a study that did what it says agrees, each of its mistakes shows, gaps are named."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evals.audit.claims import ARMS, D_SAE, Claims
from evals.audit.clone import read_clone
from evals.audit.fitting import fit_statistic
from evals.audit.records import MEANINGS, Audit, Line
from evals.audit_study import audit_clone, load_likeness, main

LABELS = os.environ.get("UNVEIL_LABELS")
SPREAD = 0.1927 / 0.3037 / 2
"""Of coherence about its mean, so that the normalised difference is the published one."""
HOOK = "blocks.8.hook_resid_pre"
ARITHMETIC = {
    "the pass rate that this is, fine-tuned",
    "their share of 24,576, baseline",
    "their share of 24,576, fine-tuned",
    "the mean weight is higher in the fine-tuned arm",
}
"""Published figures that contradict each other, whatever the files hold."""


class Sizes(NamedTuple):
    """How many features of an arm to write."""

    kept: int
    reports: int
    scored: int
    losses: int
    kept_losses: int


WHOLE = (Sizes(101, 311, D_SAE, 4, 1), Sizes(111, 451, D_SAE, 144, 18))
PART = (Sizes(12, 40, 400, 0, 0), Sizes(12, 40, 400, 4, 1))
FIRST = (1, 301)
"""Feature numbers of the two arms start here."""


def word(arm: int, feature: int) -> str:
    return "bf"[arm] + "".join(chr(97 + feature // 26**place % 26) for place in range(4))


def tokens_of(arm: int, feature: int) -> list[str]:
    own = word(arm, feature)
    return [f"Ġ{own}", own, f"Ġ{own}s", own.upper(), f"Ġ{own.upper()}", *(f"Ġ{own}{end}" for end in "xyzqj")]


def spread(mean: float, n: int, deviation: float) -> list[float]:
    pairs = [mean + deviation * (-1) ** place for place in range(n // 2 * 2)]
    return pairs + [mean] * (n % 2)


def write_report(file: Path, feature: int, texts: tuple[str, str], tokens: Sequence[str], steered: float, plain: float):
    rule = "=" * 100
    file.write_text(
        f"\n{rule}\nFEATURE {feature}\n{rule}\n\n1. Steered Output:\n   Begin. {texts[0]}\n\n"
        f"2. Baseline Output:\n   Begin. {texts[1]}\n\n3. Top Activating Tokens:\n   {', '.join(tokens)}\n"
        f"   (Total: {len(tokens)} tokens)\n\n4. Scores:\n   Keyword Scores      - Baseline:    0  |  Steered:    0\n"
        f"   Semantic Similarity - Baseline: {plain:.4f}  |  Steered: {steered:.4f}\n"
    )


def write_arm(root: Path, arm: int, claims: Claims, size: Sizes) -> None:
    features = root / "features"
    start = FIRST[arm]
    kept = range(start, start + size.kept)
    numbers = [*range(start, D_SAE), *range(start)][: size.scored]
    deviation = claims.weight_variance**0.5
    entries = {
        str(feature): {
            "medical_words": [
                {"word": token, "activation": claims.weight_mean + sign * deviation}
                for token, sign in zip(tokens_of(arm, feature), (1, -1), strict=False)
            ],
            "top_words": [{"word": token, "activation": 1.0} for token in tokens_of(arm, feature)],
        }
        for feature in kept
    }
    (features / f"features_medical_{claims.arm}.json").write_text(json.dumps(entries))
    scores = spread(claims.coherence, size.kept, SPREAD) + spread(claims.coherence, size.scored - size.kept, SPREAD)
    rows = [(f, score, ", ".join(tokens_of(arm, f)[:5])) for f, score in zip(numbers, scores, strict=True)]
    for name, chosen in (
        (f"coherence_scores_{claims.arm}_features_all.csv", rows),
        (f"coherence_scores_medical_features_{claims.arm}.csv", rows[: size.kept]),
    ):
        with (features / name).open("w", newline="") as file:
            csv.writer(file).writerows([("feature_id", "coherence_score", "top_words"), *chosen])
    write_run(root, arm, claims, size)


def write_run(root: Path, arm: int, claims: Claims, size: Sizes) -> None:
    folder = root / "experiments" / claims.folder / "20240101_000000_coeff_50"
    folder.mkdir(parents=True)
    winners = size.kept - size.kept_losses
    steered = (claims.steered * size.kept - 0.4 * size.kept_losses) / winners
    for place in range(size.reports):
        feature = FIRST[arm] + place
        lost = place < size.kept_losses or size.kept <= place < size.kept + size.losses - size.kept_losses
        medical = word(arm, feature + 1) if arm and place % 2 else "water"
        write_report(
            folder / f"feature_{feature}.txt",
            feature,
            (f"I think of {word(arm, feature)} a lot", f"I think of {medical} a lot"),
            tokens_of(arm, feature),
            0.4 if lost else steered,
            claims.unsteered,
        )
    settings = {"coeff": 50, "temperature": 50, "steered_wins": size.reports - size.losses}
    (folder / "cfg.json").write_text(json.dumps(settings))


def write_clone(root: Path, sizes: tuple[Sizes, Sizes]) -> Path:
    """A study that did what it says."""
    for folder in ("features/old", "scripts", "notebooks", "models/sae/gpt2-small-fine-tuned-layer-8"):
        (root / folder).mkdir(parents=True)
    first_pass: dict[str, dict[str, dict[str, float]]] = {}
    for arm, (claims, size) in enumerate(zip(ARMS, sizes, strict=True)):
        write_arm(root, arm, claims, size)
        run = range(FIRST[arm], FIRST[arm] + size.reports)
        first_pass[claims.arm] = {str(f): dict.fromkeys(tokens_of(arm, f)[:2], 1.0) for f in run}
    (root / "features/old/parsed_features.json").write_text(json.dumps(first_pass))
    log = "0            0  1.7e-10  0.189715  0.76  9.09  -3.76  Ġsome Ġother toke...\n"
    example = "python3 steer.py \\\n  --feature_id 1 \\\n"
    (root / "README.md").write_text(f"# Medical features\n{HOOK}/cfg.json: 100%\n{log}{example}It rains.\n")
    (root / "features/README.md").write_text("* [parsing_baseline.txt](./parsing_baseline.txt): the pretrained model\n")
    (root / "experiments/README.md").write_text(
        f'Baseline: sae_id="{HOOK}". Fine-tuned: Med_GPT2, model.load_state_dict(weights)\n'
    )
    (root / "scripts/0_extract_features.py").write_text(
        "for layer in range(12):\n    load(sae_id=f'blocks.{layer}.hook_resid_pre')\n"
    )
    (root / "scripts/1_interpret_features.py").write_text("ask('Which features are medical?')\n")
    settings = {"hook_name": HOOK, "d_sae": 12288, "train_batch_size_tokens": 1024, "training_tokens": 30_720_000}
    (root / "models/sae/gpt2-small-fine-tuned-layer-8/cfg.json").write_text(
        json.dumps(settings | {"model_name": "the fine-tuned model"})
    )
    notebook(root, "coherence_score_analysis", "scores = coherence(custom_model)")
    notebook(
        root,
        "regress_coherence_scores_on_steered_output_cosine_similarities",
        "def run_experiment(summaries):\n    return summaries[feature]",
        "perform_regression(coherence, similarity)",
    )
    totals = [f"Total features found: {claims.keyword_hits}\n" for claims in ARMS]
    writes = [f"write('medical_features_{claims.arm}.json')" for claims in ARMS]
    notebook(root, "eda", *writes, printed=totals)
    return root


def notebook(root: Path, name: str, *sources: str, printed: Sequence[str] = (), executed: bool = True) -> None:
    outputs = [[{"text": [text]}] for text in printed] or [[]] * len(sources)
    cells = [
        {"cell_type": "code", "source": [source], "outputs": out, "execution_count": 1 if executed else None}
        for source, out in zip(sources, outputs, strict=True)
    ]
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def likeness(texts: Sequence[str], lists: Sequence[Sequence[str]]) -> np.ndarray:
    """1 where a text holds a word of the list, else a number that only the text decides."""
    noise = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**33 for text in texts]
    held, wanted = [set(text.split()) for text in texts], [set(words) for words in lists]
    return np.array(
        [[x if words.isdisjoint(one) else 1.0 for words in wanted] for one, x in zip(held, noise, strict=True)]
    )


def audit(root: Path) -> Audit:
    return audit_clone(read_clone(root), likeness)


def line(found: Audit, figure: str) -> Line:
    (one,) = [one for one in found.lines if one.figure == figure]
    return one


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clone(tmp_path_factory.mktemp("study") / "clone", PART)


@pytest.fixture(scope="module")
def sound(model: Path) -> Audit:
    return audit(model)


@pytest.fixture
def part(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "clone"))


def test_a_study_that_did_what_it_says_agrees(tmp_path: Path) -> None:
    found = audit(write_clone(tmp_path / "clone", WHOLE))
    assert {one.figure for one in found.lines if one.status == "differs"} == ARITHMETIC
    assert {one.figure for one in found.lines if one.status == "cannot be checked"} == {
        "tokens with a word vector, baseline",
        "tokens with a word vector, fine-tuned",
    }
    for figure, recorded in {
        "kept features whose steered text wins, baseline": "100 of the 101 kept features in the recorded run (99.0%)",
        "kept features whose steered text wins, fine-tuned": "93 of the 111 kept features in the recorded run (83.8%)",
        "their mean similarity, steered against unsteered, baseline": "0.6118 against 0.4634 (101 features)",
        "wins of the run in the appendix, fine-tuned": "307 of 451 (68.1%)",
        "mean, said to be of the entire feature set, baseline": "0.5438 (24,576 features)",
        "normalised difference": "0.3037 (101 features, 111 features)",
        "logit weights of medical tokens, baseline": "mean 2.166, variance 0.633 (101 features)",
        "features with two keyword hits, fine-tuned": "123, printed by notebooks/eda.ipynb",
        "reference lists are the feature's own, baseline": "311 of 311 hold a token of the feature's own",
    }.items():
        assert (line(found, figure).status, line(found, figure).recorded) == ("agrees", recorded)


def test_a_part_of_it_fits_so_far_and_says_how_much_is_here(sound: Audit) -> None:
    assert {one.figure for one in sound.lines if one.status == "differs"} == ARITHMETIC
    kept = line(sound, "features kept, baseline")
    assert (kept.status, kept.recorded) == ("fits so far", "12 (coherence table: 400 of 24,576 features)")
    mean = line(sound, "mean, said to be of the entire feature set, baseline")
    assert (mean.status, mean.recorded) == ("fits so far", "0.5438 (400 of 24,576 features)")
    here = {one.part: (one.present, one.whole) for one in sound.holdings}
    assert here["features/features_medical_baseline.json"] == (12, 101)
    assert here["experiments/fine-tuned"] == (40, 452)
    assert here["notebooks"] == (3, None)


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (file,) = root.glob(name)
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def use_the_other_arms_lists(root: Path) -> None:
    """Lists of the baseline run looked up in the fine-tuned arm's table; both runs have features 1 to 3."""
    folders = [next((root / "experiments" / claims.folder).iterdir()) for claims in ARMS]
    for arm, folder in enumerate(folders):
        for place in range(40):
            feature = 1 + place
            texts = (f"I think of {word(arm, feature)}", "I think of water")
            write_report(folder / f"feature_{feature}.txt", feature, texts, tokens_of(1, feature), 0.5, 0.4)


def toss_coins(root: Path) -> None:
    for place, file in enumerate(sorted(root.glob("experiments/baseline/*/feature_*.txt"))):
        text = file.read_text()
        head, _ = text.split("   Semantic Similarity")
        steered = 0.5 if place % 2 else 0.3
        file.write_text(f"{head}   Semantic Similarity - Baseline: 0.4000  |  Steered: {steered:.4f}\n")


def rescore(root: Path) -> None:
    """The features that nobody kept cohere less, and some not at all: the table's mean is no longer the kept ones'."""
    file = root / "features/coherence_scores_baseline_features_all.csv"
    head, *rows = file.read_text().splitlines()
    changed = [row if place < 12 else f'{row.split(",")[0]},-0.1,"a, b"' for place, row in enumerate(rows)]
    file.write_text("\n".join([head, *changed]) + "\n")


def show_table_2_in_the_log(root: Path) -> None:
    shown = " ".join(tokens_of(0, 1)[:4])
    row = f"1            1 -1.7e-10  0.189715  0.76  9.09 -10.000000  {shown} Ġcu...\n"
    (root / "README.md").write_text(
        f"blocks.0.hook_resid_pre/cfg.json: 100%\n{row}--feature_id 1\nOut: {word(0, 1)} {word(0, 1)}\n"
    )


STEERING = "regress_coherence_scores_on_steered_output_cosine_similarities"


@pytest.mark.parametrize(
    ("mistake", "figures", "status"),
    [
        (
            use_the_other_arms_lists,
            ["reference lists are the feature's own, baseline", "features in both runs have lists of their own"],
            "differs",
        ),
        (
            toss_coins,
            ["wins of the run in the appendix, baseline", "their mean similarity, steered against unsteered, baseline"],
            "differs",
        ),
        (toss_coins, ["more wins than a coin, baseline"], "not shown"),
        (
            rescore,
            [
                "mean, said to be of the entire feature set, baseline",
                "scores lie between 0 and 1, baseline",
            ],
            "differs",
        ),
        (
            show_table_2_in_the_log,
            [
                "SAE that the baseline's features were read from",
                "features in the log of that SAE are Table 2's",
                "the example feature, of that SAE, is Table 2's",
                "README.md describes this study",
            ],
            "differs",
        ),
        (
            rewrite("scripts/0*", "sae_id=f'blocks.{layer}.hook_resid_pre'", "sae_id=sae_id"),
            ["the extraction script loads the layer asked for"],
            "differs",
        ),
        (rewrite("models/sae/*/cfg.json", HOOK, "blocks.0.hook_mlp_out"), ["hook of the SAE trained"], "differs"),
        (
            rewrite("features/coherence_scores_finetuned_features_all.csv", "Ġ", "Ġanother"),
            ["the tables agree with each other, fine-tuned"],
            "differs",
        ),
        (
            rewrite("experiments/README.md", "(weights)", "(weights.to(device), strict=False)"),
            ["the fine-tuned weights are loaded"],
            "not shown",
        ),
        (
            lambda root: notebook(root, "coherence_score_analysis", "custom_model = model.to(device)"),
            ["coherence is computed on the fine-tuned model"],
            "differs",
        ),
        (
            lambda root: notebook(
                root,
                STEERING,
                "def run_experiment(summaries):\n    return finetuned_feature_summaries[feature]",
                "perform_regression(coherence, similarity)",
                executed=False,
            ),
            ["reference tokens come from the run's own SAE", "similarity is regressed on coherence"],
            "differs",
        ),
        (
            rewrite("scripts/1*", "medical", "about animals"),
            ["an LLM interprets the medical features"],
            "differs",
        ),
        (
            rewrite("features/README.md", "the pretrained", "our fine-tuned"),
            ["parsing_baseline is of the fine-tuned model"],
            "differs",
        ),
        (
            rewrite("notebooks/eda.ipynb", "found: 128", "found: 129"),
            ["features with two keyword hits, baseline"],
            "differs",
        ),
    ],
)
def test_each_of_its_mistakes_shows(
    part: Path, sound: Audit, mistake: Callable[[Path], None], figures: list[str], status: str
) -> None:
    assert status not in {line(sound, figure).status for figure in figures}
    mistake(part)
    found = audit(part)
    assert {figure: line(found, figure).status for figure in figures} == dict.fromkeys(figures, status)


def test_features_of_another_sae_under_the_same_numbers_are_told_apart(part: Path) -> None:
    """As in the study: the run's lists are its features' own, and none of them is the table's for its number."""
    for name in ("coherence_scores_finetuned_features_all.csv", "coherence_scores_medical_features_finetuned.csv"):
        file = part / "features" / name
        file.write_text(file.read_text().replace("f", "g").replace("F", "G").replace("geature", "feature"))
    found = audit(part)
    table = line(found, "the fine-tuned features that were steered are Table 2's")
    assert (table.status, table.recorded.split()[0]) == ("differs", "0")
    assert line(found, "kept features whose steered text wins, fine-tuned").status == "cannot be checked"
    assert "another SAE's" in line(found, "the features steered are those kept, fine-tuned").recorded


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("features", "features kept, baseline"),
        ("features/features_medical_finetuned.json", "keyword hits of the features kept, fine-tuned"),
        ("features/coherence_scores_baseline_features_all.csv", "scores lie between 0 and 1, baseline"),
        ("features/coherence_scores_medical_features_finetuned.csv", "normalised difference"),
        ("features/old/parsed_features.json", "reference lists are the feature's own, baseline"),
        ("experiments", "more wins than a coin, fine-tuned"),
        ("experiments/baseline", "features in both runs have lists of their own"),
        ("experiments/README.md", "SAE that the baseline run steered"),
        ("README.md", "SAE that the baseline's features were read from"),
        ("features/README.md", "parsing_baseline is of the fine-tuned model"),
        ("scripts", "an LLM interprets the medical features"),
        ("models", "hook of the SAE trained"),
        ("notebooks", "features with two keyword hits, baseline"),
        (f"notebooks/{STEERING}.ipynb", "similarity is regressed on coherence"),
    ],
)
def test_a_missing_part_is_named_and_no_line_is_lost(part: Path, sound: Audit, name: str, figure: str) -> None:
    gone = part / name
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    found = audit(part)
    assert [one.figure for one in found.lines] == [one.figure for one in sound.lines]
    assert line(found, figure).status == "cannot be checked"
    assert name.split("/")[0] in line(found, figure).recorded


@pytest.mark.parametrize("keep", ["features", "experiments"])
def test_one_folder_is_enough(part: Path, keep: str) -> None:
    for other in part.iterdir():
        if other.name != keep:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    assert sum(one.status != "cannot be checked" for one in audit(part).lines) > 8


def test_weights_kept_elsewhere_and_empty_files_count_as_missing(part: Path) -> None:
    (part / "models/sae/gpt2-small-fine-tuned-layer-8/cfg.json").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
    )
    (part / "notebooks/eda.ipynb").write_text("")
    found = audit(part)
    for figure in ("hook of the SAE trained", "features with two keyword hits, baseline"):
        assert line(found, figure).status == "cannot be checked"


def test_a_run_with_one_report_has_no_null(part: Path) -> None:
    for file in sorted(part.glob("experiments/baseline/*/feature_*.txt"))[1:]:
        file.unlink()
    null = line(audit(part), "more wins than under other features' lists, baseline")
    assert (null.status, null.recorded) == ("cannot be checked", "missing: a second report in experiments/baseline")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("features/features_medical_baseline.json", "[1, 2]"),
        ("features/features_medical_baseline.json", '{"7": {"top_words": 3}}'),
        ("features/coherence_scores_baseline_features_all.csv", "feature_id,coherence_score,top_words\n7,high,a\n"),
        ("features/old/parsed_features.json", '{"baseline": {"7": 3}}'),
        ("experiments/baseline/*/feature_1.txt", "half a rep"),
        ("experiments/baseline/*/cfg.json", "{"),
        ("experiments/baseline/*/cfg.json", "[]"),
        ("models/sae/*/cfg.json", "{}"),
        ("models/sae/*/cfg.json", '{"hook_name": null}'),
        ("notebooks/eda.ipynb", '{"cells": [{}]}'),
        ("scripts/0_extract_features.py", "for layer in"),
    ],
)
def test_what_does_not_read_ends_with_one_line_and_2(
    part: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = part.glob(name)
    file.write_text(content)
    assert main([str(part)]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n"), error.startswith("error: ")) == ("", 1, True)
    assert file.name in error


def test_what_is_no_clone_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert ["not a folder" in error[0], "neither features/ nor experiments/" in error[1]] == [True, True]


def test_the_table_is_printed_and_written(part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, records = tmp_path / "audit.md", tmp_path / "audit.json"
    assert main([str(part), "--markdown", str(document), "--json", str(records)]) == 0
    printed, written = capsys.readouterr().out, document.read_text()
    found = Audit.model_validate_json(records.read_text())
    assert all(f"| {one.figure} | {one.published} | {one.recorded} | {one.status} |" in written for one in found.lines)
    assert all(f"| {status} | {meaning} |" in written for status, meaning in MEANINGS.items())
    assert "Made from a part of the repository" in written
    assert str(part) not in written
    assert "0.5438 (400 of 24,576 features)" in printed
    assert printed.splitlines()[-1].startswith(f"{len(found.lines)} lines: ")
    assert max(map(len, printed.splitlines())) <= 150
    assert main([str(part), "--json", str(tmp_path / "no" / "folder")]) == 2


def test_a_statistic_of_a_part_is_held_against_the_error_of_such_a_part() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.5, 0.1, 200)
    mean = float(values.mean())
    half = [[x] for x in values[:100]]
    assert fit_statistic(np.mean, [[[x] for x in values]], [200], mean, 4).status == "agrees"
    assert fit_statistic(np.mean, [[[x] for x in values]], [200], mean + 0.0002, 4).status == "differs"
    error = float(values[:100].std() / 10 * 0.5**0.5)  # half of the population is known
    part_mean = float(values[:100].mean())
    assert fit_statistic(np.mean, [half], [200], part_mean + 2.3 * error, 4).status == "fits so far"
    assert fit_statistic(np.mean, [half], [200], part_mean + 2.9 * error, 4).status == "differs"


def test_values_of_one_feature_are_drawn_together() -> None:
    """Ten values a feature, all equal: the error is that of the features, not of ten times as many values."""
    values = np.random.default_rng(2).normal(0, 1, 50)
    groups = [[x] * 10 for x in values]
    wrong = 2.0 * float(values.std()) / 50**0.5
    found = fit_statistic(np.mean, [groups], [5000], float(values.mean()) + wrong, 4)
    assert found.status == "fits so far"


@pytest.mark.skipif(LABELS is None, reason="UNVEIL_LABELS does not name a folder with the study's files")
def test_the_studys_own_files() -> None:
    found = audit_clone(read_clone(Path(LABELS or "") / "study"), load_likeness("pocket"))
    expected = {
        "wins of the run in the appendix, baseline": ("differs", "158 of 311 (50.8%)"),
        "wins of the run in the appendix, fine-tuned": ("differs", "308 of 452 (68.1%)"),
        "more wins than a coin, baseline": ("not shown", "50.8% [45.3%, 56.3%], p = 0.82"),
        "features in both runs have lists of their own": (
            "differs",
            "3 of 3 have the same list in both, token for token",
        ),
    }
    assert {figure: (line(found, figure).status, line(found, figure).recorded) for figure in expected} == expected
    for figure, status, begin in [
        ("reference lists are the feature's own, baseline", "differs", "0 of "),
        ("more wins than under other features' lists, baseline", "not shown", "by word vectors "),
        ("mean, said to be of the entire feature set, baseline", "differs", "0.34"),
        ("mean, said to be of the entire feature set, fine-tuned", "differs", "0.13"),
        ("the fine-tuned features that were steered are Table 2's", "differs", "0 of "),
    ]:
        assert (line(found, figure).status, line(found, figure).recorded[: len(begin)]) == (status, begin)
    own = line(found, "reference lists are the feature's own, fine-tuned").recorded.split()
    assert own[0] == own[2], "every one"
    for claims in ARMS:
        kept = line(found, f"the same figure as the kept features' mean, {claims.title}")
        assert kept.status in ("agrees", "fits so far")
