"""Explain why packages cannot be installed: no pip, no venv module, no network."""

import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NETWORK_FAILURE: Final = re.compile(
    "Failed to establish a new connection|NewConnectionError|Temporary failure in name resolution|"
    "Name or service not known|Network is unreachable|No route to host|Connection refused|"
    "ConnectTimeoutError|dns error|error sending request|Could not connect|ProxyError",
    re.IGNORECASE,
)
OFFLINE_ADVICE: Final = (
    "The package index cannot be reached. Check the network and the proxy (HTTPS_PROXY), or "
    "download the wheels on another host and install them with "
    "./start_microservices.sh install --offline DIR (docs/operations/install.md)."
)
# Package manager by ID or ID_LIKE of /etc/os-release, with the package names of pip and venv.
_PACKAGES: Final[dict[str, tuple[str, Callable[[str], str], Callable[[str], str]]]] = {
    "debian": ("apt install", lambda _: "python3-pip", lambda version: f"python{version}-venv"),
    "fedora": ("dnf install", lambda _: "python3-pip", lambda _: "python3-libs"),
    "rhel": (
        "dnf install",
        lambda version: f"python{version}-pip",
        lambda version: f"python{version}-libs",
    ),
    "suse": (
        "zypper install",
        lambda version: f"python{version.replace('.', '')}-pip",
        lambda version: f"python{version.replace('.', '')}-base",
    ),
    "arch": ("pacman -S", lambda _: "python-pip", lambda _: "python"),
    "alpine": ("apk add", lambda _: "py3-pip", lambda _: "python3"),
}
_OS_RELEASE: Final = Path("/etc/os-release")


def is_network_failure(output: str) -> bool:
    """Return whether *output* shows that an installer could not reach the package index."""
    return _NETWORK_FAILURE.search(output) is not None


def explain_missing_module(module: str, os_release: Path = _OS_RELEASE) -> str:
    """Return a message that *module* ("pip" or "venv") is missing, with the command to add it."""
    version = ".".join(platform.python_version_tuple()[:2])
    python = f"Python {version} ({sys.base_prefix})"
    family = _find_family(os_release)
    if family is None:
        fix = f"Install {module} for it, or set PYTHON to another interpreter."
        if module == "pip":
            fix = f"Install it: {sys.executable} -m ensurepip --upgrade"
    else:
        command, pip, venv = _PACKAGES[family]
        fix = f"Install it: {command} {(pip if module == 'pip' else venv)(version)}"
    return f"{python} has no module {module}. {fix}"


def _find_family(os_release: Path) -> str | None:
    """Return the first ID of the operating system that _PACKAGES contains."""
    try:
        lines = os_release.read_text("utf-8").splitlines()
    except OSError:
        return None
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    ids = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    for name in ids:
        if family := next((key for key in _PACKAGES if name.startswith(key)), None):
            return family
        if name in ("ubuntu", "linuxmint", "raspbian"):
            return "debian"
    return None
