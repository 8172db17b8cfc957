"""The investigator: labels one feature at a time, tests the label, writes one decision with its transcript."""
