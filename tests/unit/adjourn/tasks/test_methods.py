"""Deferred methods: how a call finds what it was made on, and when `super()` runs at once."""

import datetime as dt
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from adjourn import App, DeclarationError, EncodeError
from adjourn.execution.delivery import Outcome
from adjourn.ports import NewTask, Target
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.objects import ObjectPath
from adjourn.testing import sandbox

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
app = App()
log: list[tuple[object, ...]] = []


class Module:
    def __init__(self, name):
        self.name = name

    @app.deferred
    def send(self, key, **more):
        log.append(("Module", self.name, key, *more.items()))

    @app.deferred
    def count(self, key):
        log.append(("count", self.name, key))
        if key:
            self.count(key - 1)

    @app.deferred
    def echo(this, **names):  # noqa: N805 - so that a keyword can be named self
        log.append((this.name, names))

    @app.deferred
    @classmethod
    def build(cls, size):
        log.append((cls, size))

    @app.deferred
    @staticmethod
    def inner_static(size):
        log.append(("static", size))

    @staticmethod
    @app.deferred
    def outer_static(size=0):
        log.append(("static", size))


class Shop(Module):
    """Does not override."""


class Other:
    @app.deferred
    def send(self, key):
        log.append(("Other", key))


class Middle(Module):
    @app.deferred
    def send(self, key, **more):
        super().send(key, **more)
        log.append(("Middle", self.name, key))

    @app.deferred
    @classmethod
    def build(cls, size):
        super().build(size)
        log.append(("Middle", size))


class Orders(Middle):
    @app.deferred(queue="mail")
    def send(self, key, **more):
        self.handle = super().send(key, **more)
        log.append(("Orders", self.name, key))


class Explicit(Module):
    @app.deferred
    def send(self, key):
        super().send.defer(key)
        super().send.options(delay=60)(key)


class Again(Module):
    @app.deferred
    def send(self, key):
        super().send(key)
        Module.send.__get__(second)(key)
        self.outer_static(key)
        if key:
            self.send(key - 1)


class Eager(Module):
    def send(self, key):  # not deferred: it does its part before the call is made
        log.append(("Eager", key))
        super().send(key)


@app.register
@dataclass
class Line:
    amount: int
    unit: str = "kg"

    @app.deferred
    def book(self, account):
        log.append((self, account))

    @app.deferred
    def twice(self):
        self.amount *= 2
        log.append((self,))


@app.deferred
def book(line, account):
    log.append(("function", line, account))


first, second, shop, orders = Module("first"), Module("second"), Shop("shop"), Orders("orders")
explicit, again, eager = Explicit("explicit"), Again("again"), Eager("eager")
tree = SimpleNamespace(first=first, second=second, orders=orders)
for path, each in vars(tree).items():
    app.add_object(f"tree.{path}", each)
for each in (shop, explicit, again, eager):
    app.add_object(each.name, each)


@pytest.fixture(autouse=True)
def box():
    log.clear()
    with sandbox(app) as made:
        yield made


def names(box):
    return [queued.task.label.rpartition(".")[0].rpartition(".")[2] for queued in box.queue.due()]


# What a call is made on


def test_a_method_runs_on_the_object_that_is_registered_under_the_same_path(box):
    first.send("a")
    second.send("b", by="mail")

    assert box.drain() == [Outcome.DONE] * 2
    assert log == [("Module", "first", "a"), ("Module", "second", "b", ("by", "mail"))]


def test_the_path_travels_and_not_the_object(box):
    first.send("a")

    assert b'{"$on":"tree.first"}' in box.queue.due()[0].task.body


def test_a_class_that_does_not_override_shares_the_task(box):
    shop.send("a")
    box.drain()

    assert shop.send.name == first.send.name == f"{__name__}.Module.send"
    assert log == [("Module", "shop", "a")]


def test_methods_of_the_same_name_are_tasks_of_their_own():
    assert Other.send.name == f"{__name__}.Other.send" != Module.send.name


def test_options_are_those_of_the_class_or_of_the_call(box):
    handle = orders.send.options(delay=MINUTE).defer("a")

    assert handle.queue == "mail"
    assert handle.eta == box.clock.now() + MINUTE


def test_a_method_can_be_called_many_times_at_once(box):
    assert all(handle.is_new for handle in first.send.map(list("ab")))
    box.drain()

    assert sorted(log) == [("Module", "first", "a"), ("Module", "first", "b")]


def test_a_method_can_be_run_here_and_now(box):
    first.send.call_local("a")

    assert log == [("Module", "first", "a")]
    assert not box.queue.tasks


def test_keywords_may_be_named_like_parameters_of_ours(box):
    first.echo(self=1, func=2, args=3, instance=4)
    box.drain()

    assert log == [("first", {"self": 1, "func": 2, "args": 3, "instance": 4})]


def test_the_task_of_the_class_takes_what_it_is_called_on_as_an_argument(box):
    Line.book(Line(5), "a")
    box.drain()

    assert log == [(Line(5), "a")]


def test_a_value_that_the_codec_carries_travels_as_it_is_at_the_call(box):
    line = Line(5)
    line.amount, line.unit = 7, "g"
    line.book("a")
    line.amount = 9
    line.twice()
    box.drain()

    assert log == [(Line(7, "g"), "a"), (Line(18, "g"),)]
    assert line.amount == 9


@pytest.mark.parametrize("call", ["send", "send.defer", "send.map"])
def test_an_object_that_cannot_be_found_again_is_refused_at_the_call(box, call):
    method = Other().send
    for name in call.split(".")[1:]:
        method = getattr(method, name)

    with pytest.raises(EncodeError, match=r"Other\.send is called .* app\.add_object\(path, "):
        method("a")

    assert not box.queue.tasks


def test_a_path_is_of_one_object_and_an_object_at_one_path():
    with pytest.raises(DeclarationError, match=r"already a registered object named 'tree\.first'"):
        app.add_object("tree.first", Other())
    with pytest.raises(DeclarationError, match=r"is already registered as 'tree\.first'"):
        app.add_object("tree.third", first)
    with pytest.raises(DeclarationError, match="a name that is not empty"):
        app.add_object("", Other())


def test_an_unknown_path_is_tried_for_an_hour_and_then_a_dead_letter(box):
    first.send("a")
    (queued,) = box.queue.due()
    body = queued.task.body.replace(b"tree.first", b"tree.gone")
    queued.task = queued.task._replace(body=body)

    assert box.deliver(queued) is Outcome.UNKNOWN
    box.clock.advance(HOUR + MINUTE)
    assert box.deliver(queued) is Outcome.DEAD
    (letter,) = (record for key, (_, record) in box.store.records.items() if "Dead" in key.kind)
    assert "No registered object is named 'tree.gone'" in letter["error"]
    assert log == []


# What a forged call names as the object: only its own class may be `self`


def forged(box, task, *args, **kwargs):
    """Put a call on the queue with arguments that no call in the code would give."""
    enqueuer, name = box.wiring.enqueuer, f"{__name__}.{task}"
    call = Envelope(id="forged", task=name, args=args, kwargs=kwargs, enqueued_at=box.clock.now())
    body = call.encode(enqueuer.codec)
    box.queue.enqueue(
        NewTask(target=Target.DEFERRED, label=name, queue="default", body=body, name="forged")
    )
    return box.queue.due()[0]


@pytest.mark.parametrize(
    "on",
    ["text", {"name": "first"}, None, [], Line(5), dt.timedelta(1)],
    ids=lambda on: type(on).__name__,
)
def test_a_method_runs_on_no_value_of_another_class(box, on):
    assert box.deliver(forged(box, "Module.send", on, "a")) is Outcome.DEAD
    (letter,) = box.dead_letters()
    assert "Module.send does not run on a value of " in letter.error
    assert letter.error.endswith(type(on).__name__)
    assert log == []


@pytest.mark.parametrize("kwargs", [{"self": {"name": "x"}, "key": 1}, {"key": 1}, {"self": None}])
def test_a_method_takes_no_other_object_by_name(box, kwargs):
    assert box.deliver(forged(box, "Module.send", **kwargs)) is Outcome.DEAD
    assert log == []


def test_a_method_takes_its_object_by_name_as_well(box):
    Line.book(self=Line(5), account="a")
    box.drain()

    assert log == [(Line(5), "a")]


def test_a_path_of_an_object_of_another_class_is_unknown(box):
    queued = forged(box, "Other.send", ObjectPath("tree.first"), "a")

    assert box.deliver(queued) is Outcome.UNKNOWN
    box.clock.advance(HOUR + MINUTE)
    assert box.deliver(queued) is Outcome.DEAD
    assert "The object at 'tree.first' has no " in box.dead_letters()[0].error
    assert log == []


@pytest.mark.parametrize("on", ["text", None, Line(5)], ids=lambda on: type(on).__name__)
def test_a_class_method_runs_on_no_value(box, on):
    assert box.deliver(forged(box, "Module.build", on, 5)) is Outcome.DEAD
    assert log == []


def test_a_class_method_runs_on_no_other_class(box):
    queued = forged(box, "Module.build", ObjectPath(f"{__name__}.Other"), 5)

    assert box.deliver(queued) is Outcome.UNKNOWN
    assert log == []


def test_a_method_is_also_that_of_a_class_that_took_it_over(box):
    class Holder:
        name = "holder"
        send = Module.send

    app.add_object("holder", holder := Holder())
    Module.send.on(holder)("a")
    first.send("b")
    box.drain()

    assert log == [("Module", "holder", "a"), ("Module", "first", "b")]


# Class methods and static methods


@pytest.mark.parametrize("cls", [Module, Shop])
def test_a_class_method_runs_on_the_class_on_which_it_was_called(box, cls):
    cls.build(5)
    cls("any").build.defer(6)
    box.drain()

    assert log == [(cls, 5), (cls, 6)]


def test_a_class_that_is_not_there_is_unknown(box):
    Shop.build(5)
    (queued,) = box.queue.due()
    queued.task = queued.task._replace(body=queued.task.body.replace(b".Shop", b".Gone"))

    assert box.deliver(queued) is Outcome.UNKNOWN


def test_a_class_that_cannot_be_found_again_is_refused():
    twin = type("Shop", (Module,), {"__module__": __name__})

    class Local(Module):
        pass

    with pytest.raises(DeclarationError, match="There are two classes named"):
        twin.build(5)
    with pytest.raises(DeclarationError, match="is not at the top of a module"):
        Local.build(5)


def test_a_class_method_is_declared_above_classmethod(app):
    def build(cls):
        pass

    build.__qualname__ = "Made.build"
    with pytest.raises(DeclarationError, match=r"put @app\.deferred above @classmethod"):
        classmethod(app.deferred(build))


def test_a_static_method_is_a_plain_function_in_either_order(box):
    for task in (Module.inner_static, first.inner_static, Module.outer_static):
        task(5)
    first.outer_static()
    box.drain()

    assert log == [("static", 5)] * 3 + [("static", 0)]


def test_a_plain_task_does_not_become_a_method_in_a_class(app):
    task = app.deferred(name="plain")(lambda key: key)

    class Holder:
        send = task

    assert Holder().send is task


def test_what_a_function_is_given_first_does_not_make_it_a_method(box):
    book(Line(5), "a")  # a line has a method of that name
    book(line=Line(5), account="a")
    box.drain()

    assert log == [("function", Line(5), "a")] * 2


# Overriding


def test_super_runs_the_parents_part_within_the_task_over_three_classes(box):
    assert orders.send("a").is_new
    assert box.drain() == [Outcome.DONE]

    assert [line[0] for line in log] == ["Module", "Middle", "Orders"]
    assert not orders.handle.is_new
    assert orders.handle.fetch() is None
    assert orders.handle.cancel() is False


def test_super_runs_the_parents_part_in_call_local_too(box):
    orders.send.call_local("a")

    assert [line[0] for line in log] == ["Module", "Middle", "Orders"]
    assert not box.queue.tasks


def test_super_runs_the_parents_part_of_a_class_method(box):
    Middle.build(5)
    assert box.drain() == [Outcome.DONE]

    assert log == [(Middle, 5), ("Middle", 5)]


def test_what_is_deferred_expressly_or_with_options_is_deferred(box):
    explicit.send("a")
    box.deliver(box.queue.due()[0])

    assert log == []
    assert names(box) == ["Module"]
    assert len(box.queue.tasks) == 2


def test_any_other_call_in_a_task_is_enqueued(box):
    again.send(1)
    box.deliver(box.queue.due()[0])

    assert log == [("Module", "again", 1)]
    assert names(box) == ["Module", "Module", "Again"]


def test_a_recursive_call_is_enqueued(box):
    first.count(2)

    assert box.drain() == [Outcome.DONE] * 3
    assert log == [("count", "first", key) for key in (2, 1, 0)]


def test_an_override_that_is_not_deferred_enqueues_the_parents_part(box):
    eager.send("a")
    assert log == [("Eager", "a")]

    assert box.drain() == [Outcome.DONE]
    assert log == [("Eager", "a"), ("Module", "eager", "a")]


def test_after_a_task_calls_are_enqueued_again(box):
    orders.send("a")
    box.drain()

    assert super(Orders, orders).send("b").is_new
