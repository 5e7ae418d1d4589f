"""A registry holds what was declared under unique, stable names."""

import pytest

from adjourn.errors import DeclarationError, UnknownNameError
from adjourn.registry import Registry, default_name


def top():
    pass


class Top:
    def method(self):
        pass


def test_an_item_is_found_by_its_name():
    registry = Registry("task")
    registry.add("a.send", top)

    found = registry.get("a.send")

    assert found is top
    assert list(registry) == [top]
    assert len(registry) == 1


def test_a_name_is_given_once():
    registry = Registry("task")
    registry.add("a.send", top)

    with pytest.raises(DeclarationError, match=r"already a task named 'a\.send'; rename one"):
        registry.add("a.send", top)


def test_a_name_is_not_empty():
    with pytest.raises(DeclarationError, match="a name that is not empty"):
        Registry("task").add("", top)


@pytest.mark.parametrize("name", [5, b"send", "x" * 501, "\u00e4" * 251, "\udc80", "__send__"])
def test_a_name_is_one_that_everything_can_store(name):
    registry = Registry("task")

    with pytest.raises(DeclarationError, match="A task cannot be named"):
        registry.add("send", top, [name])
    assert not len(registry)

    registry.add("\u00e4" * 250, top)


def test_an_unknown_name_is_answered_with_the_nearest():
    registry = Registry("task")
    registry.add("shop.send_receipt", top)

    with pytest.raises(UnknownNameError, match=r"did you mean 'shop\.send_receipt'\?"):
        registry.get("shop.send_reciept")


def test_an_unknown_name_like_no_other_is_answered_without_a_hint():
    with pytest.raises(UnknownNameError, match=r"^No task is named 'x'$"):
        Registry("task").get("x")


@pytest.mark.parametrize(
    ("item", "name"),
    [(top, "top"), (Top, "Top"), (Top.method, "Top.method")],
)
def test_a_name_is_the_module_and_the_qualified_name(item, name):
    assert default_name(item) == f"{__name__}.{name}"


def test_what_lies_within_a_function_has_no_stable_name():
    def inner():
        pass

    with pytest.raises(DeclarationError, match=r"not at the top of a module.* or give it name="):
        default_name(inner)


def test_a_class_is_not_told_of_a_name_that_its_decorator_does_not_take():
    class Inner:
        pass

    with pytest.raises(DeclarationError, match=r"move it there\.$"):
        default_name(Inner)


def test_what_has_no_name_is_shown():
    with pytest.raises(DeclarationError, match=r"^5 is not at the top of a module"):
        default_name(5)


def test_what_the_started_script_defines_cannot_be_imported_elsewhere(monkeypatch):
    monkeypatch.setattr(top, "__module__", "__main__")

    with pytest.raises(DeclarationError, match="move it into a module or give it name="):
        default_name(top)
