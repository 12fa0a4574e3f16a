"""Generate the Python code of the gRPC interface: `python proto/generate.py [FOLDER]`.

Writes to backend/rpc_schema by default. Needs grpcio-tools of the development tools.
"""

import re
import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = "backend.rpc_schema"
DEFAULT_FOLDER = ROOT.parent / "backend" / "rpc_schema"
# protoc assumes that the folder of the generated code is on Python's path.
_IMPORT = re.compile(r"^(from|import) suite\.", re.MULTILINE)
_WELL_KNOWN_TYPES = Path(str(grpc_tools.__file__)).parent / "_proto"


def generate_code(folder: Path) -> None:
    """Write the code of all interface files to *folder*."""
    files = [str(file.relative_to(ROOT)) for file in sorted(ROOT.rglob("*.proto"))]
    folder.mkdir(parents=True, exist_ok=True)
    outputs = (f"--{kind}={folder}" for kind in ("python_out", "pyi_out", "grpc_python_out"))
    arguments = ["protoc", f"-I{ROOT}", f"-I{_WELL_KNOWN_TYPES}", *outputs, *files]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed.")
    for file in sorted((folder / "suite").rglob("*.py*")):
        if file.suffix in (".py", ".pyi"):
            file.write_text(_IMPORT.sub(rf"\1 {PACKAGE}.suite.", file.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    generate_code(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER)
