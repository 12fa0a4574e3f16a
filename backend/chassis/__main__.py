"""Former location of the start command, kept for scripts: use `python -m backend.operations`."""

import runpy

if __name__ == "__main__":
    # By name: the chassis must not import a higher layer.
    runpy.run_module("backend.operations", run_name="__main__", alter_sys=True)
