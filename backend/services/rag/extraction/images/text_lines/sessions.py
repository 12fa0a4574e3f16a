"""Sessions of the OCR models, loaded on first use."""

from functools import cache

import onnxruntime

from backend.ai.model_files import find_model_file

# One thread per model: other documents are processed in parallel, and on busy cores several threads
# would spend more time waiting for each other than computing.
_THREADS = 1


@cache
def load_session(model: str) -> onnxruntime.InferenceSession:
    """Return a session of *model*, a file name of `backend.ai.model_files`.

    Raises:
        ModelFilesError: the model is not installed.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    # Return freed memory immediately: image sizes differ, so blocks are rarely used again.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(
        find_model_file(model), options, providers=["CPUExecutionProvider"]
    )
