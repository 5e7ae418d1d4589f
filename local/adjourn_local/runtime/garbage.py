"""How often Python looks for objects that only refer to each other."""

import gc

_NEW_OBJECTS = 10_000


def search_rarely() -> None:
    """Leave what exists now out of the search, and look at new objects less often.

    For a process that does nothing but serve, once it is ready. A commit of 500 entities makes some
    thousands of objects, none of which refer to each other. Python counts them, and would look
    through everything that was ever imported after a few such commits: 40 ms each time.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
