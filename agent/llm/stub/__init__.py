"""A stand-in endpoint, `python -m agent.llm.stub`: a server on this machine that answers as a language model's would."""
