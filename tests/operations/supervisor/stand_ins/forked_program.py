"""Print a JSON line that describes this process, then do what the argument says.

python -m tests.operations.supervisor.stand_ins.forked_program [exit | fail | sleep]
"""

import atexit
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from tests.operations.supervisor.stand_ins import imported_module


def describe_process() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "arguments": sys.argv[1:],
        "main": sys.modules["__main__"].__spec__.name,
        "command": Path("/proc/self/cmdline").read_text().rstrip("\0").split("\0"),
        "descriptors": sorted(int(file.name) for file in Path("/proc/self/fd").iterdir()),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "importer": imported_module.IMPORTER,
        "collects_garbage": gc.isenabled(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe_process()) + "\n")
    sys.stdout.flush()
    match sys.argv[1]:
        case "exit":
            atexit.register(sys.stdout.write, "the exit function was called\n")
            threading.Thread(target=time.sleep, args=(0.2,)).start()
            sys.exit(7)
        case "fail":
            raise RuntimeError("no reason")
        case "sleep":
            time.sleep(600)
