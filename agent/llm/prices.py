"""What tokens cost."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from agent.errors import RunError
from agent.llm.records import MOST_USED, Usage
from tools.border.text_files import read_text
from tools.errors import first_problem
from tools.records import Record

SHIPPED = Path(__file__).with_name("prices.toml")
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_BYTES_PER_TOKEN = 4


class Price(Record):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class PriceTable(Record):
    """Prices by model name."""

    models: dict[str, Price]

    @classmethod
    def read(cls, file: Path = SHIPPED) -> PriceTable:
        """The table in a TOML file, `[models]` with `"name" = { input = …, output = … }`.

        Raises:
            RunError: the file is missing or is not of that form.
        """
        try:
            return cls.model_validate(tomllib.loads(read_text(file, RunError)))
        except tomllib.TOMLDecodeError as error:
            raise RunError(f"{file} is not TOML: {error}") from error
        except ValidationError as error:
            raise RunError(f"{file}: {first_problem(error)}") from error

    def price(self, model: str) -> Price | None:
        """The model's price; None if the table does not know it."""
        return self.models.get(model) or self.models.get(_DATE.sub("", model))

    def usage(self, model: str, input_tokens: int, output_tokens: int) -> Usage:
        """One call with its cost in USD, which is 0 for a model without a price."""
        price = self.price(model)
        usd = (input_tokens * price.input + output_tokens * price.output) / 1e6 if price else 0.0
        return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, usd=min(usd, MOST_USED))


def estimate_tokens(text: str) -> int:
    """Tokens by rule of thumb, four bytes each: for servers that report none, and for estimates beforehand."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)
