"""Alias of `python -m backend.operations` for scripts that use the former module name."""

import runpy

if __name__ == "__main__":
    # By name: the chassis must not import a higher layer.
    runpy.run_module("backend.operations", run_name="__main__", alter_sys=True)
