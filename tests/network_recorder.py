"""Record the host name lookups and connections of processes with a preloaded library."""

import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_LOCAL_NAMES = {"localhost", "ip6-localhost"}


@dataclass(frozen=True, slots=True)
class NetworkRecorder:
    """Environment variables that record what a process and its children connect to."""

    library: Path
    record: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "NETWORK_RECORD": str(self.record)}

    def lines(self) -> list[str]:
        """Return each distinct line: `lookup NAME` or `connect ADDRESS PORT`."""
        return sorted(set(self.record.read_text().splitlines())) if self.record.exists() else []

    def foreign_lines(self) -> list[str]:
        """Return the lines about other hosts than this one."""
        return [line for line in self.lines() if not _is_local(line.split()[1])]


def build_recorder(folder: Path) -> NetworkRecorder:
    library = folder / "network_recorder.so"
    command = ["gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    subprocess.run([*command, "-ldl"], check=True, capture_output=True, timeout=60)
    return NetworkRecorder(library, folder / "network.txt")


def _is_local(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return name in _LOCAL_NAMES
    return address.is_loopback or address.is_unspecified
