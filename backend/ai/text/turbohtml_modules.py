"""Import single modules of turbohtml."""

import sys
from importlib.util import find_spec, module_from_spec


def skip_package_import() -> None:
    """Make later imports of turbohtml's modules skip the package's `__init__`.

    It imports everything that turbohtml offers, which takes 35 ms: longer than to convert most
    pages, and each file is converted in a process of its own. The modules that are used here depend
    on the C extension only.
    """
    if "turbohtml" not in sys.modules and (spec := find_spec("turbohtml")) is not None:
        sys.modules["turbohtml"] = module_from_spec(spec)
