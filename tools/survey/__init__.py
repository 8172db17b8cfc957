"""Every feature at once: its tokens, keyword hits and coherence, each beside its null."""
