"""Print the locked lines, hashes and all, of what the extras named here add to .venv.

    python extras.py "otel pgvector" > extras.lock

pip says which packages that are; requirements-dev.lock says which files of them may be installed.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--python", ".venv/bin/python", "install"]


def main(names: list[str]) -> None:
    told = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    extras = told["project"]["optional-dependencies"]
    # What packages ask for and nothing here imports: the lock leaves it out.
    left_out = {each.split()[0] for each in told["tool"]["uv"]["override-dependencies"]}
    if unknown := set(names) - extras.keys():
        sys.exit(f"No extra is called {min(unknown)}. There are: {', '.join(extras)}.")
    locked = blocks(Path("requirements-dev.lock").read_text("utf-8"))
    for name in added([word for extra in names for word in extras[extra]], locked):
        if name in locked:
            sys.stdout.write(locked[name])
        elif name not in left_out:
            sys.exit(f"{name} is not in requirements-dev.lock: this extra can't be built in.")


def blocks(lock: str) -> dict[str, str]:
    """A lock's lines by the package they are of."""
    found = re.finditer(r"^([a-z0-9-]+)\S*==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    return {block[1]: block[0] for block in found}


def added(words: list[str], locked: dict[str, str]) -> list[str]:
    """The names of what pip would install for *words* beside what is there."""
    versions = Path("versions.txt")
    first_lines = (block.partition(" \\\n")[0] for block in locked.values())
    versions.write_text("\n".join(first_lines), "utf-8")
    asked = [*PIP, "--dry-run", "--quiet", "--report", "-", "--only-binary", ":all:"]
    command = [*asked, "--constraint", str(versions), *words]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - fixed words
    report = json.loads(told.stdout)
    names = (each["metadata"]["name"] for each in report["install"])
    return sorted(re.sub(r"[-_.]+", "-", name).lower() for name in names)


if __name__ == "__main__":
    main(sys.argv[1].split())
