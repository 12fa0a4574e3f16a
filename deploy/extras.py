"""Print the lock entries, with hashes, of the packages that the given extras add to .venv.

    python extras.py "otel pgvector" > extras.lock

pip resolves which packages these are; their versions and hashes come from requirements-dev.lock.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--python", ".venv/bin/python", "install"]


def main(names: list[str]) -> None:
    pyproject = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    extras = pyproject["project"]["optional-dependencies"]
    # Dependencies of packages that this project never imports. The lock file omits them.
    omitted = {entry.split()[0] for entry in pyproject["tool"]["uv"]["override-dependencies"]}
    if unknown := set(names) - extras.keys():
        sys.exit(f"Unknown extra {min(unknown)}. Available extras: {', '.join(extras)}.")
    locked = parse_lock(Path("requirements-dev.lock").read_text("utf-8"))
    requirements = [requirement for name in names for requirement in extras[name]]
    for name in resolve_added_packages(requirements, locked):
        if name in locked:
            sys.stdout.write(locked[name])
        elif name not in omitted:
            sys.exit(f"{name} is not in requirements-dev.lock, so this extra cannot be installed.")


def parse_lock(lock: str) -> dict[str, str]:
    """Return the entry of each package in a lock file, by package name."""
    entries = re.finditer(r"^([a-z0-9-]+)\S*==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    return {entry[1]: entry[0] for entry in entries}


def resolve_added_packages(requirements: list[str], locked: dict[str, str]) -> list[str]:
    """Return the names of the packages that pip would install for *requirements* into .venv."""
    constraints = Path("versions.txt")
    first_lines = (entry.partition(" \\\n")[0] for entry in locked.values())
    constraints.write_text("\n".join(first_lines), "utf-8")
    options = ["--dry-run", "--quiet", "--report", "-", "--only-binary", ":all:"]
    command = [*PIP, *options, "--constraint", str(constraints), *requirements]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603
    report = json.loads(result.stdout)
    names = (package["metadata"]["name"] for package in report["install"])
    return sorted(re.sub(r"[-_.]+", "-", name).lower() for name in names)


if __name__ == "__main__":
    main(sys.argv[1].split())
