"""Check ports and find the process that uses one."""

import errno
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"


def format_host(host: str) -> str:
    """Return *host* in the form for URLs: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def explain_unavailable(host: str, port: int) -> str | None:
    """Return why a server cannot bind the port now, or None if it can.

    Connections in TIME_WAIT are ignored.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return _explain_bind_error(error, host, port)
    return None


def _explain_bind_error(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"cannot be opened: the host name {host} cannot be resolved"
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"cannot be opened: this host has no address {host}"
    if error.errno == errno.EACCES:
        return "cannot be opened: this user may not open ports below 1024"
    if error.errno == errno.EADDRINUSE:
        return f"is in use by {describe_listener(port)}"
    return f"cannot be opened: {error.strerror}"


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port of *host*, or raise OSError if this host has no such address."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def describe_listener(port: int) -> str:
    """Describe the process that listens on *port*: "pid 4711 (python3 -m http.server)"."""
    if Path("/proc/net/tcp").exists():
        for pid in _find_pids(_listening_inodes(port)):
            return f"pid {pid} ({_command(pid)})"
    elif lsof := shutil.which("lsof"):
        return _query_lsof(lsof, port)
    return "a process of another user"


def _listening_inodes(port: int) -> set[str]:
    rows = (
        line.split()
        for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if table.exists()
        for line in table.read_text("ascii").splitlines()[1:]
    )
    return {
        row[9]
        for row in rows
        if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port
    }


def _find_pids(inodes: set[str]) -> Iterator[int]:
    targets = {f"socket:[{inode}]" for inode in inodes}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            links = list((folder / "fd").iterdir())
        except OSError:  # the process has exited or belongs to another user
            continue
        if any(_read_link(link) in targets for link in links):
            yield int(folder.name)


def _read_link(link: Path) -> str:
    """Return the target of a descriptor's link, or "" if it was closed meanwhile."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _command(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    return words.replace("\0", " ").strip()[:120] or "a kernel thread"


def _query_lsof(lsof: str, port: int) -> str:
    output = subprocess.run(  # noqa: S603 - fixed arguments and a number
        [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
        capture_output=True,
        text=True,
        check=False,
    )
    fields = {line[0]: line[1:] for line in output.stdout.splitlines() if line}
    return f"pid {fields['p']} ({fields.get('c', '?')})" if "p" in fields else "another process"
