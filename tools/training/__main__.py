"""Build a study's models, SAEs and word vectors from text, one step a command.

python -m tools.training tokenizer --data TEXTS      8k byte-level BPE
python -m tools.training base      --data TEXTS      the base language model
python -m tools.training finetuned --data TEXTS      the same model trained further on the domain
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.errors import UnveilError

STEPS = ("tokenizer", "base", "finetuned")


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; nothing heavy is imported before it has been read."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument(
        "--study", type=Path, default=Path("studies/pocket"), help="folder with study.toml (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the raw corpora, X.txt.gz")
    parser.add_argument("--work", type=Path, help="checkpoints and results (default: runs/training/<study>)")
    parser.add_argument("--no-compile", action="store_true", help="do not use torch.compile (no C++ compiler needed)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        _run(arguments)
    except UnveilError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: argparse.Namespace) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tools.training.language_model import build_model, train_language_model
    from tools.training.recipe import load_recipe
    from tools.training.tokenizer import train_tokenizer

    recipe = load_recipe(arguments.study / "study.toml")
    work: Path = arguments.work or Path("runs/training") / arguments.study.name
    work.mkdir(parents=True, exist_ok=True)
    if arguments.step == "tokenizer":
        assert recipe.tokenizer
        train_tokenizer(
            arguments.data, [*recipe.base.corpora, *recipe.finetuned.corpora], recipe.tokenizer, work / "tokenizer"
        )
        return
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    if arguments.step == "base":
        model, run = build_model(recipe.model, tokenizer, recipe.base.seed), recipe.base
    else:
        model, run = AutoModelForCausalLM.from_pretrained(work / "base" / "model"), recipe.finetuned
    losses = train_language_model(
        model,
        tokenizer,
        run,
        data=arguments.data,
        work=work / arguments.step,
        cache=work / "tokens",
        context_size=recipe.model.context_size,
        compile_model=not arguments.no_compile,
    )
    print(losses)


if __name__ == "__main__":
    sys.exit(main())
