"""The published study, audited: every published figure beside what its repository's recorded files give.

python -m evals.audit_study CLONE
python -m evals.audit_study CLONE --markdown docs/published-study.md --json audit.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared
from tools.display.terminal import Parser, door, say
from tools.whole_files import write_named

if TYPE_CHECKING:
    import numpy as np

    from evals.audit.clone import Clone
    from evals.audit.published import Likeness
    from evals.audit.records import Audit


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.audit_study",
        description="Hold the published study's figures against its own recorded files, line by line. A part of the "
        "repository will do: what cannot be checked for want of a file says so. Exit status 2: a file does not read.",
    )
    parser.add_argument(
        "clone", type=Path, metavar="CLONE", help="a clone of seansica/sae-vector-steering, or a part of one"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown")
    add_shared(parser, "--json")
    add_shared(
        parser,
        "--study",
        default="pocket",
        help="the study whose word vectors the null of steering uses (default: %(default)s)",
    )
    return parser.parse_args(argv)


@door("what was to be written is there as a whole, or as it was")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Audit, print and write; 2 if a file does not read."""
    arguments = parse_arguments(argv)
    from evals.audit.clone import read_clone
    from evals.audit.layout import lay_out
    from evals.reporting.page import as_lines, to_markdown

    clone = read_clone(arguments.clone)
    audit = audit_clone(clone, load_likeness(arguments.study))
    page = lay_out(audit, arguments.study)
    if arguments.markdown:
        write_named(arguments.markdown, to_markdown(page))
    if arguments.json:
        write_named(arguments.json, audit.model_dump_json(indent=2) + "\n")
    say(*as_lines(page))
    return 0


def audit_clone(clone: Clone, likeness: Likeness | None) -> Audit:
    """Every line on a clone.

    Args:
        clone: what `evals.audit.clone.read_clone` found.
        likeness: of texts to lists of words, for the null of steering; without it those lines cannot be checked.

    Raises:
        LabelError: a script or a settings file does not read.
    """
    from evals.audit import autoencoders, coherence, features, notes, references, steering
    from evals.audit.checks import settle_check
    from evals.audit.clone import list_holdings
    from evals.audit.records import Audit

    others = (references, features, coherence, autoencoders, notes)
    checks = [*steering.list_checks(clone, likeness), *(check for one in others for check in one.list_checks(clone))]
    return Audit(holdings=tuple(list_holdings(clone)), lines=tuple(map(settle_check, checks)))


def load_likeness(name: str) -> Likeness:
    """Likeness of texts to lists of words by a study's word vectors, as our own steering is scored.

    Raises:
        StudyError: there is no such study, or it names no vectors.
        LoadError: they cannot be read.
    """
    from tools.effects.contrast import score_texts
    from tools.study.reading import load_study
    from tools.survey.lexicon import build_lexicon

    lexicon = build_lexicon((), load_study(name))

    def likeness(texts: Sequence[str], lists: Sequence[Sequence[str]]) -> np.ndarray:
        rows = [[lexicon.vectors.row[word] for word in words if word in lexicon.vectors.row] for words in lists]
        return score_texts(texts, rows, lexicon)

    return likeness


if __name__ == "__main__":
    sys.exit(main())
