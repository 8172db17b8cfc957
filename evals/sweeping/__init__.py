"""Settings of steering tried side by side, on the instruments that a run uses."""
