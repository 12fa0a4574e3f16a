"""Garbage collection of processes that serve requests."""

import gc

# Requests create and free thousands of small objects, few of them in reference cycles. A collection
# after every 700 allocations, the default, costs more than it frees.
_THRESHOLDS = (20_000, 50, 50)


def limit_garbage_collection() -> None:
    """Exclude the present objects from garbage collections, and make collections rare.

    Call it when the app is loaded: its objects and those of the modules stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
