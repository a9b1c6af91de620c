"""How often Python's garbage collector looks for cycles, in processes that hold many objects for long."""

import gc

_YOUNG = 10_000
"""Objects made until the young ones are looked through; Python's 700 are less than one request makes."""


def settle_garbage_collector() -> None:
    """Call it when all is imported: that lives as long as the process, and looking through it again is wasted."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
