"""Where features are active in text."""
