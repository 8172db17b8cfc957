"""The cheapest rival of steering: the unsteered model is simply asked for the topic, in the form that it was trained to read."""

from __future__ import annotations

from tools.bench.workbench import Workbench
from tools.records import PromptForm

PLAIN = "The following text is about {topic}. "
"""To a plain model: the beginning of a text about the topic."""
SAID = "Write a text about {topic}. It begins with the words that follow."
"""To a model with a chat template: what a user says, whereupon the prompt stands as the beginning of the answer."""
WITHIN = "Let the answer be about {topic}. "
"""Where prompts themselves are put as what a user says."""


def word_request(bench: Workbench, topic: str, form: PromptForm) -> str:
    """What is said before a prompt, to the letter; BOS, which the bench puts before every text, is not part of it.

    Args:
        bench: whose tokenizer's template is used.
        topic: a word or several.
        form: in which prompts are put.
    """
    if form == "chat":
        return WITHIN.format(topic=topic)
    if not bench.tokenizer.chat_template:
        return PLAIN.format(topic=topic)
    said = [{"role": "user", "content": SAID.format(topic=topic)}]
    text: str = bench.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    return text.removeprefix(bench.tokenizer.convert_ids_to_tokens(bench.bos))
