"""Who decides: evidence goes in, a judgement comes out."""
