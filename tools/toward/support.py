"""How many features a rewritten token has: the k of a top-k SAE; for others as many as are active in its text on average."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tools.bench.places import Place
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.records import Record
from tools.toward.activity import Activity
from tools.toward.sites import open_site


class Support(Record):
    """The number of features that a token is rewritten with, and where it comes from."""

    k: int = Field(ge=1)
    rule: Literal["k of the SAE", "mean L0"]
    l0: float | None = None
    """Mean number of active features a token in the text that was measured; None where none was needed."""


def choose_support(bench: Workbench, activity: Activity | None = None, place: Place | None = None) -> Support:
    """The SAE's own k where it has one, and the mean L0 in a text, rounded, where it has none.

    Args:
        bench: model and SAE.
        activity: of the same SAE in some text; only an SAE without a k needs it.
        place: the SAE, where it is not the arm's own.

    Raises:
        StudyError: the SAE has no pre-activations (`open_site`).
        ValueError: it has no k, and there is no text to know its L0 by.
    """
    site = open_site(bench, place)
    l0 = None if activity is None else activity.l0
    if site.autoencoder.k is not None:
        return Support(k=site.autoencoder.k, rule="k of the SAE", l0=l0)
    if l0 is None:
        raise ValueError(f"a {type(site.autoencoder.sae).__name__} has no k of its own: measure its activity in a text")
    if l0 < 0.5:
        raise StudyError(
            f"the SAE of arm {bench.arm_name} has {l0:.2g} active features a token: there is nothing to rewrite"
        )
    return Support(k=min(round(l0), len(site.autoencoder.directions)), rule="mean L0", l0=l0)
