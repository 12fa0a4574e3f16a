"""Paths of the OCR models in the installed wheels that contain them.

The wheels are never imported: their code needs OpenCV.
"""

from importlib.util import find_spec
from pathlib import Path

DETECTION = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
ORIENTATION = "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"
RECOGNITION = "rapidocr/models/PP-OCRv6_rec_small.onnx"


def find_model(model: str) -> Path:
    """Return the path of *model*, one of the names above.

    Raises:
        ModuleNotFoundError: its wheel is not installed.
    """
    package = model.partition("/")[0]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed.", name=package)
    return Path(spec.submodule_search_locations[0]).parent / model
