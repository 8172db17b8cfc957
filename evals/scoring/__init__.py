"""Labels held against text that nobody labelled from: detection, fuzzing and what they are worth."""
