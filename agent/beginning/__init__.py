"""How a run begins or goes on: what is checked, who is asked, what it may cost, before it has a folder."""
