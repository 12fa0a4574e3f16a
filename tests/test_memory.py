"""Memory that processes keep."""

import platform
import subprocess
import sys

import pytest

HASH_CONCURRENTLY = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from backend.security.passwords import hash_password

def measure():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(rollup.partition("\\nPss:")[2].split()[0])

before = measure()
with ThreadPoolExecutor(16) as pool:
    list(pool.map(hash_password, ["seven small boats"] * 32))
print(measure() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only for the GNU C library")
def test_concurrent_password_hashes_leave_no_memory():
    done = subprocess.run(
        [sys.executable, "-c", HASH_CONCURRENTLY],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert int(done.stdout) < 16 * 1024  # kB; one hash uses 19 MiB
