"""Generate the Python code of the gRPC interface: `python proto/generate.py [FOLDER]`.

Writes to backend/rpc_schema by default. `--descriptors FILE` writes the descriptors of the
interface to FILE instead, and `--release` to released.binpb, with which later changes must be
compatible. Needs grpcio-tools of the development tools.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = "backend.rpc_schema"
DEFAULT_FOLDER = ROOT.parent / "backend" / "rpc_schema"
# protoc assumes that the folder of the generated code is on Python's path.
_IMPORT = re.compile(r"^(from|import) suite\.", re.MULTILINE)
RELEASED_DESCRIPTORS = ROOT / "released.binpb"
_WELL_KNOWN_TYPES = Path(str(grpc_tools.__file__)).parent / "_proto"


def generate_code(folder: Path) -> None:
    """Write the code of all interface files to *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    _run_protoc(*(f"--{kind}={folder}" for kind in ("python_out", "pyi_out", "grpc_python_out")))
    for file in sorted((folder / "suite").rglob("*.py*")):
        if file.suffix in (".py", ".pyi"):
            file.write_text(_IMPORT.sub(rf"\1 {PACKAGE}.suite.", file.read_text("utf-8")), "utf-8")


def write_descriptors(file: Path) -> None:
    """Write the descriptors of all interface files to *file*, as a FileDescriptorSet."""
    _run_protoc(f"--descriptor_set_out={file}")


def _run_protoc(*outputs: str) -> None:
    files = [str(file.relative_to(ROOT)) for file in sorted(ROOT.rglob("*.proto"))]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{_WELL_KNOWN_TYPES}", *outputs, *files]) != 0:
        sys.exit("protoc failed.")


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["--release"]:
            write_descriptors(RELEASED_DESCRIPTORS)
        case ["--descriptors", file]:
            write_descriptors(Path(file))
        case _:
            generate_code(Path(arguments[0]) if arguments else DEFAULT_FOLDER)


if __name__ == "__main__":
    main(sys.argv[1:])
