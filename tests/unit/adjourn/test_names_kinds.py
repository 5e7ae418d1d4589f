"""Names: which kinds are adjourn's own, and digests of several texts."""

import importlib
import pkgutil

import adjourn
from adjourn.names import digest, digest_of, is_own_kind, is_reserved_kind


def kinds():
    for module in pkgutil.walk_packages(adjourn.__path__, "adjourn."):
        found = getattr(importlib.import_module(module.name), "KIND", None)
        if isinstance(found, str):
            yield found


def test_the_kinds_of_all_modules_are_known_as_adjourns_own():
    assert len(set(kinds())) > 8
    assert all(map(is_own_kind, kinds()))


def test_kinds_of_applications_are_not():
    for kind in ("Adjournment", "Adjourn", "adjournRun", "MyAdjournRun", "Order"):
        assert not is_own_kind(kind)
        assert not is_reserved_kind(kind)


def test_kinds_of_datastore_are_known():
    assert is_reserved_kind("__Stat_Total__")
    assert not is_reserved_kind("__Order")


def test_texts_are_told_apart_wherever_they_are_cut():
    assert digest_of("a b", "c") != digest_of("a", "b c")
    assert digest_of("a", "b", "c") != digest_of("a", 'b", "c')
    assert digest_of("a", "b") != digest("a b")
    assert digest_of("run", "a") == digest_of("run", "a")
