"""A task looks like the function that it stands for, to all that look at functions."""

import copy
import dataclasses
import doctest
import functools
import gc
import inspect
import pickle
import pydoc
import subprocess
import sys
import types
import typing
import weakref
from pathlib import Path
from unittest import mock

import pytest

from adjourn import App
from adjourn.testing import sandbox

HERE = __name__
app = App()
ran = []


@app.deferred
def note(order: int, *, copy: bool = False) -> str:
    """Note an order.

    >>> note.call_local(5)
    'noted 5'
    """
    ran.append((order, copy))
    return f"noted {order}"


@app.periodic(cron="0 3 * * *")
def nightly() -> None:
    """Run at night."""


def plain(order: int) -> None:
    """Stay as it is."""


@dataclasses.dataclass(frozen=True)
class Shop:
    name: str = "shop"

    @app.deferred
    def sell(self, order: int, *, gift: bool = False) -> str:
        """Sell an order."""
        ran.append((self.name, order, gift))
        return self.name

    @app.deferred
    @classmethod
    def count(cls, size: int) -> int:
        """Count something."""
        return size

    @app.deferred
    @staticmethod
    def clean(size: int) -> None:
        """Clean up."""


@dataclasses.dataclass(frozen=True)
class Rule:
    event: str
    task: typing.Any = note


app.register(Shop)
shop = Shop()


@pytest.fixture
def box():
    ran.clear()
    with sandbox(app) as made:
        yield made


def test_its_attributes_are_those_of_the_function():
    assert (note.__name__, note.__qualname__, note.__module__) == ("note", "note", HERE)
    assert note.__doc__.startswith("Note an order.")
    assert note.__wrapped__ is note.function
    assert note.__annotations__ == note.function.__annotations__
    assert (nightly.__name__, nightly.__doc__) == ("nightly", "Run at night.")
    assert repr(note) == f"<Task {HERE}.note>"


def test_its_signature_types_and_source_are_those_of_the_function():
    assert str(inspect.signature(note)) == "(order: int, *, copy: bool = False) -> str"
    assert typing.get_type_hints(note) == {"order": int, "copy": bool, "return": str}
    assert inspect.getsource(note).startswith("@app.deferred\ndef note(order")
    assert inspect.getdoc(note).startswith("Note an order.")
    assert inspect.isroutine(note)
    assert not inspect.iscoroutinefunction(note)
    assert inspect.getmodule(note) is sys.modules[HERE]


@pytest.mark.parametrize(
    ("method", "name", "signature"),
    [
        (shop.sell, "sell", "(order: int, *, gift: bool = False) -> str"),
        (Shop.sell, "sell", "(self, order: int, *, gift: bool = False) -> str"),
        (shop.count, "count", "(size: int) -> int"),
        (Shop.count, "count", "(size: int) -> int"),
        (shop.clean, "clean", "(size: int) -> None"),
        (Shop.clean, "clean", "(size: int) -> None"),
        (shop.sell.options(delay=5), "sell", "(order: int, *, gift: bool = False) -> str"),
    ],
    ids=range(7),
)
def test_a_method_looks_like_a_method(method, name, signature):
    assert (method.__name__, method.__qualname__) == (name, f"Shop.{name}")
    assert str(inspect.signature(method)) == signature
    assert inspect.getdoc(method) == inspect.getdoc(method.function)
    assert typing.get_type_hints(method) == typing.get_type_hints(method.function)
    assert inspect.getsource(method).lstrip().startswith("@app.deferred")


def test_a_copy_with_other_options_looks_the_same():
    later = note.options(delay=5)

    assert (later.__name__, later.__doc__) == (note.__name__, note.__doc__)
    assert inspect.signature(later) == inspect.signature(note)


def test_attributes_of_the_function_are_kept_and_hide_nothing_of_the_task():
    def marked():
        pass

    marked.permission, marked.options = "admin", "mine"
    task = App().deferred(name="marked")(marked)
    task.exposed = True

    assert (task.permission, task.exposed, task.options(delay=5).exposed) == ("admin", True, True)
    del task.exposed
    assert not hasattr(task, "exposed")


def test_what_makes_it_a_task_does_not_change():
    with pytest.raises(AttributeError, match="defaults of note does not change; options"):
        note.defaults = note.options(delay=5).defaults
    with pytest.raises(AttributeError, match="name of note does not change"):
        del note.name
    with pytest.raises(AttributeError, match=r"Set colour on Shop\.sell, not on the method of an"):
        shop.sell.colour = "red"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("delay", r"The task note has no attribute 'delay'; write note\.defer\(\.\.\.\)"),
        ("apply_async", r"write note\.defer"),
        ("colour", "The task note has no attribute 'colour'$"),
    ],
)
def test_an_attribute_that_it_lacks_is_told_with_the_one_to_use(name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(note, name)


# Copies


@pytest.mark.parametrize("task", [note, note.options(delay=5), nightly, Shop.clean], ids=range(4))
def test_a_copy_is_the_task_itself(task):
    assert copy.copy(task) is task
    assert copy.deepcopy(task) is task
    assert copy.deepcopy({"task": [task]})["task"][0] is task


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("task", [note, nightly])
def test_it_is_pickled_by_its_name(task, protocol):
    pickled = pickle.dumps(task, protocol)

    assert pickle.loads(pickled) is task
    assert len(pickled) < 120


def test_a_copy_with_other_options_is_pickled_with_them():
    later = pickle.loads(pickle.dumps(note.options(delay=5, queue="mail")))

    assert later.function is note.function
    assert later.defaults == note.options(delay=5, queue="mail").defaults


def test_a_task_that_no_module_has_is_not_pickled():
    local = App().deferred(name="local")(lambda: None)

    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(local)
    assert copy.deepcopy(local) is local


def test_a_method_of_an_object_is_pickled_and_copied_with_the_object():
    for method in (shop.sell, shop.sell.options(delay=5)):
        for other in (pickle.loads(pickle.dumps(method)), copy.deepcopy(method)):
            assert other.method is Shop.sell
            assert other.receiver == shop
            assert other.receiver is not shop
            assert other.defaults == method.defaults
        assert copy.copy(method) is method
    assert pickle.loads(pickle.dumps(Shop.count)) == Shop.count


# As an object among others


def test_it_is_equal_to_itself_alone():
    assert note == note  # noqa: PLR0124 - that is the question
    assert note != note.options(delay=5)
    assert {note: 1}[note] == 1


def test_methods_are_equal_as_those_of_python_are():
    assert shop.sell == shop.sell
    assert hash(shop.sell) == hash(shop.sell)
    assert Shop.count == shop.count
    assert shop.sell != Shop("shop").sell
    assert shop.sell != shop.sell.options(delay=5)
    assert shop.sell != Shop.sell
    assert shop.sell != "sell"
    assert repr(shop.sell) == f"<BoundTask {HERE}.Shop.sell of {shop!r}>"


def test_it_can_be_referred_to_weakly():
    task = App().deferred(name="gone")(lambda: None)
    reference = weakref.ref(task)

    assert reference() is task
    assert weakref.WeakKeyDictionary({note: 1})[note] == 1
    del task
    gc.collect()
    assert reference() is None


def test_it_stays_what_it_is_in_a_dataclass(box):
    rule = Rule("paid")
    assert (rule.task, Rule.task, Rule("paid", nightly).task) == (note, note, nightly)
    assert dataclasses.replace(rule, event="lost") == Rule("lost")
    assert dataclasses.asdict(rule) == {"event": "paid", "task": note}
    rule.task(5)
    box.assert_enqueued(note, 5)


# Wrappers


def test_a_partial_of_it_enqueues(box):
    functools.partial(note, 5, copy=True)()

    box.assert_enqueued(note, 5, copy=True)


def test_a_wrapper_of_it_is_a_function_like_any_other(box):
    @functools.wraps(note)
    def wrapper(order):
        return note(order + 1)

    wrapper(5)

    assert (wrapper.__name__, wrapper.__doc__, wrapper.__wrapped__) == (
        "note",
        note.__doc__,
        note,
    )
    assert not hasattr(wrapper, "defaults")
    assert inspect.signature(wrapper) == inspect.signature(note)
    box.assert_enqueued(note, 6)


def test_a_wrapper_of_it_can_be_deferred_under_another_name(box):
    other = App()

    @functools.wraps(note)
    def wrapper(*args):
        ran.append(args)

    task = other.deferred(name="wrapper")(wrapper)
    with sandbox(other) as beside:
        task(5)
        beside.drain()

    assert ran == [(5,)]
    assert box.drain() == []


# Mocks


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("way", ["defer", "map", "call_local", "options"])
def test_mocks_replace_its_methods_and_put_them_back(box, way):
    with mock.patch(f"{HERE}.note.{way}") as patched:
        getattr(note, way)([5])
        assert not box.queue.tasks

    patched.assert_called_once_with([5])
    note.options(queue="mail").defer(5)
    box.assert_enqueued(note.options(queue="mail"), 5)


def test_a_mock_holds_for_copies_with_other_options(box):
    with mock.patch.object(note, "defer") as patched:
        note.options(delay=5).defer(5)

    patched.assert_called_once_with(5)
    assert not box.queue.tasks


def test_what_pytest_puts_back_is_not_tied_to_the_task_without_options(box, monkeypatch):
    with monkeypatch.context() as patching:
        patching.setattr(note, "defer", ran.append)
        note.defer(5)
    assert ran == [5]

    note.options(queue="mail").defer(6)

    (queued,) = box.queue.tasks.values()
    assert queued.task.queue == "mail"


def test_a_mock_of_a_method_in_its_class_holds_for_the_objects(box):
    with mock.patch.object(Shop.sell, "defer") as patched:
        shop.sell.defer(5)

    patched.assert_called_once_with(5)
    shop.sell.defer(6)
    box.assert_enqueued(shop.sell, 6)


@pytest.mark.usefixtures("box")
def test_a_mock_with_autospec_has_its_methods_and_no_others():
    with mock.patch(f"{HERE}.note", autospec=True) as patched:
        note(5)
        note.defer(6)
        with pytest.raises(AttributeError, match="dellay"):
            note.dellay(5)

    patched.assert_called_once_with(5)
    patched.defer.assert_called_once_with(6)
    assert isinstance(mock.create_autospec(shop.sell), mock.NonCallableMock)
    with mock.patch.object(note, "defer", autospec=True) as alone:
        note.defer(5)
    alone.assert_called_once_with(5)


# Documentation


def test_help_tells_of_the_function():
    text = pydoc.render_doc(note, renderer=pydoc.plaintext)

    assert "note(order: int, *, copy: bool = False) -> str" in text
    assert "Note an order." in text
    assert f"in module {HERE}" in text


def test_help_on_a_module_and_a_class_lists_tasks_as_functions():
    module = types.ModuleType("shop_of_help")
    module.note, module.plain, module.__all__ = note, plain, ["note", "plain"]
    text = pydoc.render_doc(module, renderer=pydoc.plaintext)
    of_class = pydoc.render_doc(Shop, renderer=pydoc.plaintext)

    assert text.index("FUNCTIONS") < text.index("Note an order.") < text.index("Stay as it is.")
    assert "sell(self, order: int, *, gift: bool = False) -> str" in of_class
    assert "Sell an order." in of_class


def test_doctests_of_its_text_run():
    (found,) = doctest.DocTestFinder().find(note, "note", globs=globals())

    assert doctest.DocTestRunner().run(found) == doctest.TestResults(failed=0, attempted=1)


def test_sphinx_documents_it_as_a_function(tmp_path):
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    (tmp_path / "papers.py").write_text(
        '''"""The papers of a shop."""
from adjourn import App

app = App()


@app.deferred
def send(order: int, *, copy: bool = False) -> str:
    """Send the papers of an order."""


class Shop:
    """A shop."""

    @app.deferred
    def sell(self, order: int) -> None:
        """Sell an order."""

    @app.deferred
    @classmethod
    def count(cls, size: int) -> int:
        """Count what is there."""
''',
        encoding="utf-8",
    )
    (tmp_path / "conf.py").write_text('extensions = ["sphinx.ext.autodoc"]', encoding="utf-8")
    (tmp_path / "index.rst").write_text(".. automodule:: papers\n   :members:\n", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "text", tmp_path, tmp_path / "made"]
    path = f"{tmp_path}:{Path(__file__).parents[4] / 'shared'}"

    built = subprocess.run(
        command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )

    assert (built.returncode, built.stderr) == (0, "")
    text = (tmp_path / "made" / "index.txt").read_text(encoding="utf-8")
    assert "papers.send(order: int, *, copy: bool = False) -> str" in text
    assert "Send the papers of an order." in text
    assert "sell(order: int) -> None" in text
    assert "Count what is there." in text
