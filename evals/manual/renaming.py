"""An imported SAE under the name it has in a run: one SAE of a source at a time, so that no two ever become one."""

from __future__ import annotations

from collections import Counter

from evals.errors import LabelError
from evals.manual.reading import Options
from evals.manual.records import Import, Remark

_NAMED = 6


def rename_sae(found: Import, options: Options) -> Import:
    """The source's labels and evidence under the name that was asked for.

    `--sae NAME` renames the only SAE of a source, or takes the one of that name; `--sae SOURCE=NAME` takes the source's
    SOURCE and calls it NAME. What belongs to other SAEs is left out, with a remark.

    Raises:
        LabelError: the source holds several SAEs and it is not said which is meant, or not the one that is.
    """
    if options.sae is None:
        return found
    counts = Counter(label.item.sae for label in found.labels)
    target, source = options.sae_name, _choose(counts, options)
    if source is None:
        return found
    labels = tuple(
        label.model_copy(update={"item": label.item.model_copy(update={"sae": target})})
        for label in found.labels
        if label.item.sae in (source, target)
    )
    evidence = tuple(
        shown.model_copy(update={"sae": target}) for shown in found.evidence if shown.sae in (source, target, None)
    )
    remarks = found.remarks
    if dropped := len(found.labels) - len(labels):
        text = f"{dropped} labels are of other SAEs than {source} and are left out"
        remarks = (*remarks, Remark(where="--sae", text=text))
    return found.model_copy(update={"labels": labels, "evidence": evidence, "remarks": remarks})


def _choose(counts: Counter[str], options: Options) -> str | None:
    """The source's name of the SAE that is meant; None if there is nothing to rename."""
    target, source = options.sae_name, options.sae_source
    listed = ", ".join(list(counts)[:_NAMED]) + (", …" if len(counts) > _NAMED else "")
    if source is not None:
        if source not in counts:
            raise LabelError(f"no label is of an SAE called {source!r}: the source has {listed}")
        return source
    if target in counts:
        return target if len(counts) > 1 else None
    if len(counts) > 1:
        raise LabelError(
            f"the source holds labels of {len(counts)} SAEs ({listed}), which --sae {target} would make one: take one with "
            f"--sae {next(iter(counts))}={target}"
        )
    return next(iter(counts), None)
