"""What a user gets to read when something is written wrongly: what is wrong, and what to write.

Each row is a mistake and the whole message. Other tests see to it that right uses are accepted.
"""

import asyncio
import dataclasses
import datetime as dt
import enum
import functools
from typing import NamedTuple

import pytest

import adjourn
from adjourn import App
from adjourn.settings import Settings
from adjourn.testing import sandbox

HOUR = dt.timedelta(hours=1)
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
OWN = "Begin the name of what is your own with an underscore."
TWICE = (
    " is a task already, so it is deferred already. Leave one of the decorators out: @app.periodic"
    " and @app.startup_task make a deferred task, too, and take its options."
)
HERE = __name__
app = App()


def plain() -> None:
    pass


def with_order(order):
    pass


async def asynchronous():
    await asyncio.sleep(0)


def generator():
    yield


def deferred() -> adjourn.Task[[], None]:
    return App().deferred(plain)


def periodic() -> adjourn.Task[[], None]:
    return App().periodic(interval=HOUR)(plain)


def started() -> adjourn.Task[[], None]:
    return App().startup_task(plain)


class Orders:
    @app.deferred
    def ship(self, order):
        pass


@app.deferred
def note(order, *, copy=False):
    pass


class Money:
    pass


class Amount(NamedTuple):
    cents: int


@dataclasses.dataclass
class Address:
    street: str


class Colour(enum.Enum):
    RED = 1


def iteration(base=adjourn.QueryIter, **members):
    """Declare an iteration that handles its entities, unless its base does."""
    if base is adjourn.QueryIter:
        members = {"handle_entry": lambda self, entry, custom_data: None} | members
    elif base is adjourn.UpdateEntitiesIter:
        members = {"update_entry": lambda self, entry, custom_data: None} | members
    return App().query_iter(type("Reprice", (base,), {"__module__": HERE, **members}))


def task_for_people(**members):
    members = {"execute": lambda self: None} | members
    cls = type("Restock", (adjourn.CallableTask,), {"__module__": HERE, **members})
    return App().callable_task(cls)


DECLARATIONS = [
    (
        lambda: App().deferred("mail"),
        "@app.deferred takes its options by their names: write @app.deferred(queue='mail').",
    ),
    (
        lambda: App().startup_task("mail"),
        "@app.startup_task takes its options by their names: write"
        " @app.startup_task(queue='mail').",
    ),
    (
        lambda: App().query_iter("reprice"),
        "'reprice' is not a subclass of adjourn.QueryIter. Names are given by name: write"
        " @app.query_iter(name='reprice').",
    ),
    (
        lambda: App().callable_task("restock"),
        "'restock' is not a subclass of adjourn.CallableTask.",
    ),
    (
        lambda: App().periodic("0 3 * * *"),
        "Name the schedule: write @app.periodic(cron='0 3 * * *').",
    ),
    (
        lambda: App().periodic(HOUR),
        "Name the interval: write @app.periodic(interval=datetime.timedelta(seconds=3600)).",
    ),
    (
        lambda: App().periodic(plain),
        "Say how often: @app.periodic(interval=...) or (cron=...).",
    ),
    *(
        (lambda wrap=wrap, make=make: wrap(App())(make()), f"plain{TWICE}")
        for wrap in (
            lambda app: app.deferred,
            lambda app: app.periodic(interval=HOUR),
            lambda app: app.startup_task,
        )
        for make in (deferred, periodic, started)
    ),
    (
        lambda: App().deferred(generator),
        "generator is a generator, of which nothing would run. Write a function without yield; one"
        " call for each item is task.map(items).",
    ),
    (
        lambda: App().deferred(Money),
        "Money is a class. Put @app.deferred on its methods, or on a function that uses it.",
    ),
    (
        lambda: App().deferred(print),
        "<built-in function print> is not a function of Python; write one (def ...) that calls it.",
    ),
    (
        lambda: App().deferred(functools.partial(print, 5)),
        "functools.partial(<built-in function print>, 5) is not a function of Python; write one"
        " (def ...) that calls it.",
    ),
    (
        lambda: App().periodic(interval=HOUR)(with_order),
        "with_order is periodic, so it is called without arguments: missing a required argument:"
        " 'order'. Give each parameter a default.",
    ),
    (
        lambda: App().periodic(interval=HOUR, cronname="nightly"),
        "There is no option 'cronname'; did you mean 'cron_name'?",
    ),
    (
        lambda: App().periodic(every=HOUR),
        "There is no option 'every'; did you mean 'interval'?",
    ),
    (
        lambda: App().deferred(retries=5),
        "There is no option 'retries'; did you mean 'max_retries'?",
    ),
    (
        lambda: App().deferred(countdown=5),
        "There is no option 'countdown'; did you mean 'delay'?",
    ),
    (
        lambda: App().deferred(eta=NOON),
        "eta is an option of a call, not of the declaration: write"
        " task.options(eta=...).defer(...).",
    ),
    (
        lambda: App().startup_task(call_name="warm"),
        "call_name is an option of a call, not of the declaration: write"
        " task.options(call_name=...).defer(...).",
    ),
    (
        lambda: task_for_people(options={"transaction": 5}),
        "transaction is an option of a call, not of the declaration: write"
        " task.options(transaction=...).defer(...).",
    ),
    (
        lambda: App().startup_task(once_per="process"),
        'once_per=\'process\' must be "instance" or "revision".',
    ),
]

HOOKS = [
    (
        lambda: App().deferred(on_dead="give_up"),
        "on_dead is 'give_up', not a function; write a function such as def give_up(letter): ....",
    ),
    (
        lambda: App().deferred(on_dead=plain),
        "on_dead is called with the letter alone: too many positional arguments; write a function"
        " such as def give_up(letter): ....",
    ),
    (
        lambda: App().on_dead(generator),
        "@app.on_dead is a generator, of which nothing would run; write a function such as def"
        " give_up(letter): ....",
    ),
    (
        lambda: App().on_dead(note),
        "@app.on_dead would enqueue the task note, which cannot take a letter; write a function"
        " such as def give_up(letter): ..., which calls it.",
    ),
    (
        lambda: App().on_retry_warning(lambda first, second: None),
        "@app.on_retry_warning is called with the warning alone: missing a required argument:"
        " 'second'; write a function such as def give_up(warning): ....",
    ),
]

ITERATIONS = [
    (
        lambda: iteration(on_finish=lambda self, count, data: None),
        f"Reprice.on_finish: there is no such hook; did you mean handle_finish? {OWN}",
    ),
    (
        lambda: iteration(handleError=lambda self, entry, data, error: None),
        f"Reprice.handleError: there is no such hook; did you mean handle_error? {OWN}",
    ),
    (
        lambda: iteration(handle_entity=lambda self, entity, data: None),
        f"Reprice.handle_entity: there is no such hook; did you mean handle_entry? {OWN}",
    ),
    (
        lambda: iteration(on_resume=lambda self, data: None),
        "Reprice.on_resume would never be called: there is no such hook. There are load,"
        " handle_entry, handle_batch, dry_run_entry, handle_error, handle_finish, on_start,"
        f" on_pause, on_cancel, merge. {OWN}",
    ),
    (
        lambda: iteration(batchsize=5),
        f"Reprice.batchsize: there is no such attribute; did you mean batch_size? {OWN}",
    ),
    (
        lambda: iteration(queue="slow"),
        f"Reprice.queue: there is no such attribute; did you mean queue_name? {OWN}",
    ),
    (
        lambda: iteration(shards=8),
        "Give shards to Reprice.start(query, shards=8).",
    ),
    (
        lambda: iteration(batch_size="5"),
        "Reprice.batch_size='5' must be a whole number from 1 to 1000.",
    ),
    (
        lambda: iteration(step_seconds=HOUR),
        "Reprice.step_seconds=datetime.timedelta(seconds=3600) must be a number of seconds, more"
        " than 0 and at most 300, or None.",
    ),
    (
        lambda: iteration(handle_finish=lambda self: None),
        "Reprice.handle_finish: too many positional arguments; write def handle_finish(self,"
        " total_count, custom_data).",
    ),
    (
        lambda: iteration(handle_entry=staticmethod(lambda entry: None)),
        "Reprice.handle_entry: too many positional arguments; write def handle_entry(self, entry,"
        " custom_data).",
    ),
    (
        lambda: iteration(handle_entry=note),
        "Reprice.handle_entry is a task, which would only be enqueued; write def handle_entry(self,"
        " entry, custom_data), without a decorator, and call the task in it.",
    ),
    (
        lambda: iteration(handle_error=generator),
        "Reprice.handle_error is a generator, of which nothing would run; write def"
        " handle_error(self, entry, custom_data, exception), without yield.",
    ),
    (
        lambda: iteration(merge=5),
        "Reprice.merge is no function; write def merge(self, first, second).",
    ),
    (
        lambda: iteration(__init__=lambda self, factor: None),
        "Reprice() cannot be made: missing a required argument: 'factor'. One is made for each"
        " step; give what it needs as custom_data.",
    ),
    (
        lambda: iteration(check=lambda self: None),
        "Reprice.check would hide adjourn's own; rename it.",
    ),
    (
        lambda: iteration(adjourn.DeleteEntitiesIter, handle_entry=lambda *_: None),
        "Reprice gets keys alone and handles them itself; leave handle_entry out, or make it a"
        " subclass of adjourn.QueryIter.",
    ),
    (
        lambda: iteration(adjourn.UpdateEntitiesIter, update_entry=lambda self, entry: None),
        "Reprice.update_entry: too many positional arguments; write def update_entry(self, entry,"
        " custom_data).",
    ),
    (
        lambda: iteration(adjourn.UpdateEntitiesIter, update_entity=lambda *_: None),
        f"Reprice.update_entity: there is no such hook; did you mean update_entry? {OWN}",
    ),
    (
        lambda: task_for_people(description="Fill the shelves."),
        "Restock.description: there is no such attribute; did you mean descr? Begin the name of"
        " what is your own with an underscore.",
    ),
    (
        lambda: task_for_people(canCall=lambda self, user: True),
        "Restock.canCall: there is no such attribute; did you mean can_call? Begin the name of what"
        " is your own with an underscore.",
    ),
    (
        lambda: task_for_people(can_call=lambda self: True),
        "Restock.can_call: too many positional arguments; write def can_call(self, user).",
    ),
]

APPLICATIONS = [
    (lambda: App("shop"), "An application needs no name: write App() for App('shop')."),
    (
        lambda: App({"project": "shop"}),
        "settings={'project': 'shop'} must be adjourn.settings.Settings(...). Write App() to have"
        " them read from the environment.",
    ),
    (
        lambda: App(datastore="shop"),
        "datastore='shop' is no client of Datastore. Give the client that the application uses, or"
        " a function that returns it.",
    ),
    (
        lambda: App(datastore=Money),
        "datastore=Money would make a new client for each call, which is in no transaction. Give"
        " the client that the application uses, or a function that returns it.",
    ),
    (
        lambda: App(user="ann"),
        "user='ann' is not a function without arguments; write user=lambda: ..., which returns that"
        " of the present request.",
    ),
    (
        lambda: App(environment=5),
        "environment=5 has no method serialize; give an object with serialize() and"
        " restore(value).",
    ),
    (
        lambda: App().register(Address("x")),
        f"{Address('x')!r} is no class: write @app.register, without parentheses, above the class,"
        " or app.register(Class, name='shop.Class').",
    ),
    (
        lambda: App().register(Money),
        f"<class '{HERE}.Money'> is no dataclass, enum, class of attrs or model of pydantic; say"
        " how it is encoded with"
        " app.add_extension(adjourn.Extension(...)).",
    ),
    (
        lambda: App().add_extension(Money),
        f"<class '{HERE}.Money'> is no Extension; write adjourn.Extension(...).",
    ),
    (
        lambda: App().add_extension(adjourn.Extension("shop.Money", Money, str, "str", Money)),
        "Extension(encode='str'): write adjourn.Extension(tag='shop.Money', type_name=Money,"
        " state=str, encode=str, decode=Money).",
    ),
    (
        lambda: App().add_object(Money, "money"),
        f"<class '{HERE}.Money'> is no path; write app.add_object('money', ...).",
    ),
]

CALLS = [
    (
        lambda: note(1, delay=3),
        f"{HERE}.note: delay cannot be given among the arguments; write"
        " note.options(delay=3).defer(1)",
    ),
    (
        lambda: note.defer(1, delay=3, copy=True),
        f"{HERE}.note: delay cannot be given among the arguments; write"
        " note.options(delay=3).defer(1, copy=True)",
    ),
    (
        lambda: note("ann@shop.example", queue="mail", delay=3),
        f"{HERE}.note: queue and delay cannot be given among the arguments; write"
        " note.options(queue='mail', delay=3).defer(...)",
    ),
    (lambda: note(1, copies=3), f"{HERE}.note: got an unexpected keyword argument 'copies'"),
    (lambda: note.options(dellay=3), "There is no option 'dellay'; did you mean 'delay'?"),
    (
        lambda: note(Address("x")),
        f"args[0]: {HERE}.Address cannot be encoded; write @app.register above the class Address.",
    ),
    (
        lambda: note(Colour.RED),
        f"args[0]: {HERE}.Colour cannot be encoded; write @app.register above the class Colour.",
    ),
    (
        lambda: note([{"price": Money()}]),
        f"args[0][0]['price']: {HERE}.Money cannot be encoded; pass an id or a Key from which it"
        " can be loaded, or say how it is encoded with app.add_extension(adjourn.Extension(...)).",
    ),
    (
        lambda: note(Amount(5)),
        f"args[0]: {HERE}.Amount cannot be encoded; it would be decoded as a plain tuple, so"
        " convert it to one.",
    ),
    (
        lambda: note(note),
        "args[0]: adjourn.tasks.task.Task cannot be encoded; pass a name, and choose by it in the"
        " task.",
    ),
    (
        lambda: note(each for each in "ab"),
        "args[0]: builtins.generator cannot be encoded; pass a list of what it yields.",
    ),
    (lambda: note.delay(1), "The task note has no attribute 'delay'; write note.defer(...)"),
    (
        lambda: Orders.ship(5),
        f"{HERE}.Orders.ship is a method: call it on an object of Orders, which has a path by"
        " app.add_object(path, object), and not on the class: object.ship(...)",
    ),
    (
        lambda: note(1).successful,
        "The handle of a call has no attribute 'successful'; fetch() tells how the call stands, and"
        " result() returns what it returned if its task is declared with keep_result=...",
    ),
    (
        lambda: note(1).result(),
        f"{HERE}.note keeps no result; declare it with @app.deferred(keep_result=...).",
    ),
    (
        lambda: note.options(keep_result=0),
        "keep_result must be more than zero, and at most a hundred years.",
    ),
    (
        lambda: note.options(keep_result=60).defer(1).result(wait=-1),
        "wait=-1 must not be negative.",
    ),
    (
        lambda: note.options(keep_result=60, debounce=5),
        "Leave keep_result out: which of the calls runs is not known when they are made.",
    ),
    (lambda: note.map("A-1"), "map needs items: write map(['A-1'])."),
    (
        lambda: note.options(eta="tomorrow"),
        "eta='tomorrow' must be an aware datetime; add a time zone, such as tzinfo=datetime.UTC.",
    ),
    (
        lambda: App().periodic(interval=60),
        "interval=60 must be a timedelta, not negative; write datetime.timedelta(seconds=60).",
    ),
    (lambda: note.options("mail"), "Options have names: write note.options(queue='mail')."),
    (
        lambda: adjourn.QueryIter.start("Order"),
        "Decorate QueryIter with @app.query_iter to start it.",
    ),
    (adjourn.current_task, "No task is running here; call it within a task."),
    (
        lambda: adjourn.RetryLater("5"),
        "RetryLater(after='5'): a time to wait is a timedelta or a number of seconds.",
    ),
    (
        lambda: adjourn.Snooze(-1),
        "Snooze(for_=-1): a time to wait is between nothing and a hundred years.",
    ),
]


def settings(**changes):
    made = Settings(
        project="shop",
        location="europe-west1",
        deferred_url="https://deferred.example",
        queryiter_url="https://queryiter.example",
        cron_url="https://cron.example",
        service_account="tasks@shop.example",
    )
    return dataclasses.replace(made, **changes).mistakes()


def environment(**changes):
    names = {
        "ADJOURN_PROJECT": "shop",
        "ADJOURN_LOCATION": "europe-west1",
        "ADJOURN_DEFERRED_URL": "https://deferred.example",
        "ADJOURN_QUERYITER_URL": "https://queryiter.example",
        "ADJOURN_CRON_URL": "https://cron.example",
        "ADJOURN_SERVICE_ACCOUNT": "tasks@shop.example",
    }
    return Settings.from_env(names | changes)


SETTINGS = [
    (
        {"ADJOURN_RETRY_WARNING": "often"},
        "ADJOURN_RETRY_WARNING='often' must be a whole number from 1.",
    ),
    (
        {"ADJOURN_TELEMETRY_FLUSH": "1.5"},
        "ADJOURN_TELEMETRY_FLUSH='1.5' must be a whole number of seconds from 0 to 30.",
    ),
    (
        {"ADJOURN_FUNCTION_TIMEOUT": "9m"},
        "ADJOURN_FUNCTION_TIMEOUT='9m' must be the deferred function's own timeout in seconds, a"
        " whole number from 15 to 3600.",
    ),
    (
        {"ADJOURN_MAX_ATTEMPTS": "100,mail=many"},
        "ADJOURN_MAX_ATTEMPTS: 'mail=many' must be a whole number for all queues, or a queue with"
        " its number, or -1 for unlimited, such as 100,mail=20.",
    ),
    ({"ADJOURN_CLEANUP": "maybe"}, "ADJOURN_CLEANUP='maybe' must be true or false."),
    (
        {"ADJOURN_CALLERS": "tasks@shop.example,bob"},
        "ADJOURN_CALLERS: 'bob' is not the e-mail address of a service account.",
    ),
    (
        {"ADJOURN_SERVICE_ACCOUNT": "bob"},
        "ADJOURN_SERVICE_ACCOUNT: 'bob' is not the e-mail address of a service account.",
    ),
    (
        {"ADJOURN_QUEUE": "my_queue"},
        "ADJOURN_QUEUE='my_queue' must be 1 to 100 letters, digits or hyphens.",
    ),
]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        pytest.param(mistake, message, id=f"{number}-{message[:50]}")
        for number, (mistake, message) in enumerate(
            [*DECLARATIONS, *HOOKS, *ITERATIONS, *APPLICATIONS, *CALLS]
        )
    ],
)
def test_a_mistake_is_told_with_what_to_write(mistake, message):
    with (
        sandbox(app),
        pytest.raises((adjourn.AdjournError, AttributeError, ValueError, TypeError)) as caught,
    ):
        mistake()

    assert str(caught.value) == message


@pytest.mark.parametrize(("changes", "message"), SETTINGS, ids=range(len(SETTINGS)))
def test_a_wrong_setting_is_told_with_its_value(changes, message):
    with pytest.raises(adjourn.ConfigurationError) as caught:
        environment(**changes)

    assert str(caught.value) == f"adjourn cannot start:\n- {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue": 5}, "queue=5 must be a str."),
        ({"deferred_url": None}, "deferred_url=None must be a str."),
        ({"callers": (5,)}, "callers=(5,) must be a tuple of str."),
        ({"retry_warning": "5"}, "ADJOURN_RETRY_WARNING='5' must be a whole number from 1."),
    ],
    ids=range(4),
)
def test_settings_that_are_made_by_hand_are_checked_alike(changes, message):
    assert settings(**changes) == [message]


def test_the_former_name_of_an_option_is_taken_with_a_warning():
    with sandbox(app) as box:
        with pytest.warns(DeprecationWarning, match=r"write task\.options\(call_name=") as found:
            once = note.options(name="once")
        once(5)
        box.assert_enqueued(note.options(call_name="once"), 5)
    assert found[0].filename == __file__


def test_the_former_name_and_the_name_are_not_taken_together():
    with pytest.raises(adjourn.DeclarationError, match="Give call_name alone; name is its former"):
        note.options(name="a", call_name="b")
