"""Skeletons, which ViUR lets be defined once in a process."""

from viur.core import skeleton
from viur.core.bones import NumericBone, StringBone
from viur.core.skeleton import Skeleton


class ThingSkel(Skeleton):
    kindName = "thing"
    name = StringBone()
    amount = NumericBone()


def initialize():
    """Do what `viur.core.setup` does with skeletons."""
    set_initialized = getattr(skeleton, "setSystemInitialized", None)
    if set_initialized is None:
        from viur.core.bones.base import setSystemInitialized as set_initialized
    set_initialized()
