"""The judge beside the people: agreement, calibration, prevalence, and the floors of each. Behind `evals.run`."""
