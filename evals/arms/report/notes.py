"""What stands beside each table of a comparison, so that its figures are not taken for more than they are."""

from __future__ import annotations

RELEVANCE = (
    "Shares of all features of the SAE. Published: two or more of the top ten tokens are words of the domain, matched on "
    "words, since the direct lens' lists are not stored. Corrected: more hits than all but 1 % of random directions have; "
    "judged relevant by the run's judge, undecided and failed counting as not. Random directions are no features: any of "
    "them judged relevant is a false positive. In this and the following tables p is over features, one SAE an arm; in "
    "brackets after correction, for the rows marked * among themselves by Holm's method, for all others by Benjamini and "
    "Hochberg's. Effect: Cohen's h of shares, Hedges' g of means."
)
STRATA = (
    "Ruled out: not drawn, but rejected by the rules judge on the survey alone, so that no estimate is needed. Unknown: "
    "neither; what was drawn then stands for it, stratum by stratum. Candidates are drawn by their hits and not by chance: "
    "the last column is how many would be relevant if all of the unknown were."
)
STEERING = (
    "Likeness is the mean, over a text's content words, of the largest cosine with a reference word, where the study takes "
    "sentence embeddings. Candidates are those investigated; where their number was limited, those with the most hits. Over "
    "all features, strata count by their size. Wins beyond the null: less the wins under other features' words."
)
SPREAD = (
    "Published: equal words count as often as they are listed, and a feature with fewer than two words scores 0. Corrected: "
    "each word once, no score without two. Normalised: size of the difference over the mean of the two ranges. Relevant "
    "features were chosen by their words, by the rules judge also by coherence, so that theirs is high by construction."
)
COHERENCE = (
    "Less random directions': what remains when the mean of the random directions of the same arm is taken off, which no "
    "SAE had a part in."
)
CHANGES = (
    "Decoder rows matched one to one. Kept and shifted: a partner beyond the null, and nearer or farther than the threshold. "
    "New and lost: like no feature of the other dictionary beyond the null. The ceiling is what two SAEs of one model, "
    "trained with different seeds, have in common: fine-tuning can be seen only below it."
)
TRANSFER = "How well each SAE reconstructs what each model computes at the hook, on held-out text."
REGRESSION = (
    "Ordinary least squares, HC3 standard errors, per standard deviation of the predictor, with arms and strata as groups. "
    "It can show what goes together over the features that were investigated, which were chosen by keyword hits and strata. "
    "It cannot show that coherence causes steering: both are measured on the same list of words, the wins with the same word "
    "vectors. What random directions show as well is no property of features. p: after Holm over all predictors of interest."
)
COVERAGE = "After the published cleaning of tokens: in total, and over different tokens."
SETTINGS = "As far as the run folders and the SAEs' own files show it."
