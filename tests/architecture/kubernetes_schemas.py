"""The JSON schemas of Kubernetes objects."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest

VERSION = "1.31"


@cache
def load_validator() -> Callable[[Any], None]:
    """Return a function that raises unless an object matches its schema and has no other field.

    The schema files are read once instead of for each object.
    """
    utils = pytest.importorskip("kubernetes_validate").utils
    pytest.MonkeyPatch().setattr(utils, "schema_contents", cache(utils.schema_contents))
    return partial(utils.validate, desired_version=VERSION, strict=True)
