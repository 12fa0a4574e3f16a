"""Import single modules of turbohtml."""

import sys
from importlib.util import find_spec, module_from_spec


def skip_package_import() -> None:
    """Make later imports of turbohtml's modules skip the package's `__init__`.

    The package's `__init__` imports all modules, which takes 35 ms. That is longer than the
    conversion of most pages, and each file is converted in a process of its own. The modules that
    are used here depend on the C extension only.
    """
    if "turbohtml" not in sys.modules and (spec := find_spec("turbohtml")) is not None:
        sys.modules["turbohtml"] = module_from_spec(spec)
