"""The desk: people read what a run did and why, and write labels of their own. `python -m evals.review RUN...`."""
