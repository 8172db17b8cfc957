"""What features do: interventions, steered text, and effects on the logits."""
