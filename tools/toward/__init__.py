"""Steering toward a text: what the SAE reads is weighed by how much each feature has to do with it, and written anew."""
