"""Processes of a default installation contact no other host."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network_recorder import build_recorder

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("gcc")), reason="needs Linux and gcc"
)
EMBED = """
from backend.ai.embedding.built_in import BuiltInEmbedder
BuiltInEmbedder().encode(["A sentence."])
"""
LOAD_OCR = """
from backend.ai.model_files import OCR_FILES
from backend.services.rag.extraction.images.text_lines.sessions import load_session
for model in OCR_FILES:
    load_session(model)
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(EMBED, id="embedding"),
        pytest.param(LOAD_OCR, id="ocr", marks=pytest.mark.slow),
    ],
)
def test_libraries_send_no_usage_reports_without_inherited_variables(tmp_path, program):
    recorder = build_recorder(tmp_path)
    (home := tmp_path / "home").mkdir()
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "HOME": str(home)}

    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment | recorder.environment,
        check=True,
        timeout=60,
    )

    assert recorder.lines() == []
    # onnxruntime writes a device id before its first report.
    assert list(home.rglob("*")) == []
