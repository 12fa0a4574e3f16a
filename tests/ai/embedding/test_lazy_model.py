"""Loading and freeing of models."""

import weakref

import pytest

from backend.ai.embedding.lazy_model import LazyModel
from tests.servers import wait_until


class Model:
    """Stands for a large object."""


def test_model_is_loaded_with_its_first_use_and_shared():
    loaded = []

    def load():
        loaded.append(Model())
        return loaded[-1]

    model = LazyModel(load)

    assert not loaded
    assert model.get() is model.get()
    assert len(loaded) == 1


def test_idle_model_is_freed_and_loaded_again_with_its_next_use():
    model = LazyModel(Model, idle_seconds=0.05)

    first = weakref.ref(model.get())
    wait_until(lambda: first() is None, 30)

    again = model.get()

    assert isinstance(again, Model)
    second = weakref.ref(again)
    del again
    wait_until(lambda: second() is None, 30)
    assert second() is None


def test_failed_load_is_repeated_by_the_next_use():
    results = [OSError("missing"), Model()]

    def load():
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return result

    model = LazyModel(load)

    with pytest.raises(OSError, match="missing"):
        model.get()
    assert isinstance(model.get(), Model)
