"""Text files as editors and spreadsheets write them: one reader, so that all of them are read alike.

UTF-8 with or without a byte order mark, with line ends of any system. Anything else is said to be what it is: a file of
another encoding, read as UTF-8, would give other words without a sign.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from tools.errors import StudyError, UnveilError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ARCHIVE = b"PK\x03\x04"
_REMEDY = "save it again as UTF-8"
MOST = 256 * 2**20
"""Bytes of a text file that is read as a whole, unless its reader says less."""


def read_text(file: Path, error: type[UnveilError] = StudyError, most: int = MOST) -> str:
    """A file's text, its lines ended by line feeds.

    Args:
        file: any text file.
        error: what is raised.
        most: bytes that it may have.

    Raises:
        UnveilError: of that kind; the file is missing, a folder, no plain file, too large, or not UTF-8.
    """
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # reading a pipe or a device may never end
            raise error(f"{file} is no plain file")
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as failure:
        raise error(f"{file} cannot be read: {failure.strerror}") from None
    if len(data) > most:
        raise error(f"{file} is larger than {most:,} bytes, the most that is read of such a file")
    return decode(data, str(file), error).replace("\r\n", "\n").replace("\r", "\n")


def decode(data: bytes, name: str, error: type[UnveilError] = StudyError) -> str:
    """Text of bytes, without a byte order mark.

    Raises:
        UnveilError: of that kind; they are not UTF-8.
    """
    if data.startswith(_ARCHIVE):
        raise error(f"{name} is not text but an archive, as spreadsheets and documents are: save it as text or CSV")
    if data.startswith(_UTF_16) or b"\0" in data:
        raise error(f'{name} is not UTF-8 but looks like UTF-16 (as some editors\' "Unicode"): {_REMEDY}')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = 1 + data[: failure.start].count(b"\n")
        raise error(f"{name} is not UTF-8: line {line}, {failure.reason}; {_REMEDY}") from None
