"""What behaves differently: one function for each rule, which yields what is wrong with a node."""

import ast
from collections.abc import Callable, Iterator

from adjourn_local.viur_check.finding import Context, Weight
from adjourn_local.viur_check.syntax import (
    argument,
    calls,
    decorators,
    is_naive,
    last_name,
    number,
)

Match = tuple[ast.AST, Weight, str]
Rule = Callable[[ast.AST, Context], Iterator[Match]]

CHANGE, KNOW = Weight.CHANGE, Weight.KNOW
_DEFERRING = {"CallDeferred", "callDeferred"}
_LIMITING = {"retry_n_times", "noRetry"}
_OWN_STEPS = {"_qryStep", "_requeueStep"}
# From 3.8 on, transactions are those of Google's client; a number as interval is seconds.
_SECONDS_SINCE = (3, 8)
# In the template of a project, viur-base.
_TEMPLATE = "every 4 hours"


def numeric_interval(node: ast.AST, context: Context) -> Iterator[Match]:
    """A number as interval: minutes up to 3.7, seconds since 3.8."""
    for call in _decorating(node, "PeriodicTask"):
        value = number(argument(call, "interval", 0))
        if not value:
            continue
        subject = f"PeriodicTask({value:g}) is"
        if context.version is None:
            either = "minutes up to ViUR 3.7, seconds since 3.8"
            yield call, CHANGE, f"{subject} {either}: write a timedelta, or say it by --viur"
            continue
        unit = "seconds" if context.version >= _SECONDS_SINCE else "minutes"
        yield call, CHANGE, f"{subject} {unit} in this ViUR: write timedelta({unit}={value:g})"


def interval_zero(node: ast.AST, context: Context) -> Iterator[Match]:
    """No interval: at each call of its cron name, so the job has to keep that one's rhythm."""
    for call in _decorating(node, "PeriodicTask"):
        value = argument(call, "interval", 0)
        if value is not None and number(value) != 0:
            continue
        given = argument(call, "cronName", 1)
        name = str(given.value) if isinstance(given, ast.Constant) else "default"
        rhythm = context.rhythms.get(name)
        where = "cron.yaml says" if rhythm else "ViUR's cron.yaml says, unless yours does not,"
        schedule = rhythm or _TEMPLATE
        setting = f'crons = {{ {name} = {{ schedule = "{schedule}" }} }}'
        text = (
            f"no interval means each call of cron {name!r}: {where} {schedule!r}, adjourn's job"
            f" calls every minute. Keep it in Terraform: {setting}"
        )
        yield call, CHANGE, text


def naive_eta(node: ast.AST, _context: Context) -> Iterator[Match]:
    """A time without a zone: taken for UTC, as there."""
    if isinstance(node, ast.Call) and is_naive(argument(node, "_eta")):
        yield node, KNOW, "_eta has no time zone and is taken for UTC, as in ViUR: add tzinfo"


def queue_at_call(node: ast.AST, _context: Context) -> Iterator[Match]:
    """A queue that is named only at a call."""
    value = argument(node, "_queue") if isinstance(node, ast.Call) else None
    match value:
        case None | ast.Constant(value=None):
            return
        case ast.Constant(value=str() as queue):
            text = f"queue {queue!r} is named at the call: `adjourn export tfvars` finds it here"
            yield node, KNOW, text
        case _:
            text = "the queue is known only at the call: see that Terraform has it"
            yield node, CHANGE, text


def mapped_name(node: ast.AST, _context: Context) -> Iterator[Match]:
    """A name that Cloud Tasks does not take."""
    value = argument(node, "_name") if isinstance(node, ast.Call) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        if set(value.value) & {":", "."}:
            yield node, KNOW, "':' and '.' in _name become '-', with a digest at the end"
    elif isinstance(value, ast.JoinedStr | ast.BinOp):
        yield (
            node,
            KNOW,
            "_name may hold letters, digits, '-', '_', and ':' and '.', which are mapped",
        )


def target_version(node: ast.AST, _context: Context) -> Iterator[Match]:
    """A version on which a task is to run."""
    value = argument(node, "_target_version") if isinstance(node, ast.Call) else None
    if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
        yield node, CHANGE, "_target_version has no effect: tasks run on the revision that is there"


def own_steps(node: ast.AST, context: Context) -> Iterator[Match]:
    """Steps of an iteration's own."""
    is_iteration = context.in_class is not None and context.in_class.name in context.iterations
    if isinstance(node, ast.FunctionDef) and node.name in _OWN_STEPS and is_iteration:
        text = (
            f"{node.name} is refused: adjourn reads and counts by itself; move it into handleEntry"
        )
        yield node, CHANGE, text
    if isinstance(node, ast.Attribute) and node.attr in _OWN_STEPS:
        yield node, KNOW, f"a call of {node.attr} begins a run where the given step stands"


def transaction_of_older(node: ast.AST, context: Context) -> Iterator[Match]:
    """Deferred calls in a transaction of a ViUR that cannot be guarded."""
    if not isinstance(node, ast.Call):
        return
    if last_name(node) in {"RunInTransaction", "run_in_transaction"}:
        if context.version is not None and context.version < (3, 1):
            text = "calls in this transaction are refused before ViUR 3.1: make them after it"
            yield node, CHANGE, text
        else:
            text = "calls in this transaction run a second after it is committed, and only then"
            yield node, KNOW, text
    if last_name(node) in {"acquireTransactionSuccessMarker", "acquire_transaction_success_marker"}:
        yield (
            node,
            KNOW,
            "adjourn puts a marker of its own in the transaction; this one is not read",
        )


def decorators_order(node: ast.AST, _context: Context) -> Iterator[Match]:
    """Decorators in an order that is refused."""
    above = decorators(node)
    for place, name in enumerate(above):
        below = set(above[place + 1 :])
        if name in _LIMITING and below & (_DEFERRING | {"PeriodicTask", "StartupTask"}):
            yield node, CHANGE, f"@{name} must stand below the decorator that defers"
        if name == "classmethod" and below & (_DEFERRING | {"PeriodicTask"}):
            yield node, CHANGE, "@classmethod must stand below the decorator that defers"


def own_environment(node: ast.AST, _context: Context) -> Iterator[Match]:
    """What ViUR restores around a call and adjourn does not."""
    if not set(decorators(node)) & _DEFERRING:
        return
    for call in calls(node):
        match call.func:
            case ast.Attribute(value=ast.Attribute(attr="user" | "session" as name), attr="get"):
                text = f"current.{name} is not restored in tasks: use current_task().user"
                yield call, CHANGE, text


def yielding(node: ast.AST, _context: Context) -> Iterator[Match]:
    """A deferred function that is asynchronous or a generator."""
    if not set(decorators(node)) & _DEFERRING:
        return
    is_lazy = isinstance(node, ast.AsyncFunctionDef) or any(
        isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node)
    )
    if is_lazy:
        yield node, CHANGE, "a deferred function must be a plain one: nothing of it would run"


def keys_of_dicts(node: ast.AST, context: Context) -> Iterator[Match]:
    """Dicts with other keys than text, which ViUR turns into text."""
    if not (isinstance(node, ast.Call) and last_name(node) in context.deferred):
        return
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    for each in given:
        keys = each.keys if isinstance(each, ast.Dict) else []
        if any(isinstance(k, ast.Constant) and not isinstance(k.value, str) for k in keys):
            yield each, KNOW, "keys of a dict arrive as they are; ViUR makes texts of them"
        if isinstance(each, ast.Tuple):
            yield each, KNOW, "a tuple arrives as a tuple; in ViUR it becomes a list"


def private_names(node: ast.AST, _context: Context) -> Iterator[Match]:
    """Variables of ViUR's task module that are only read here."""
    match node:
        case ast.ImportFrom(module="viur.core.tasks" | "viur.core", names=names):
            for each in names:
                if each.name in {"_periodicTasks", "_callableTasks", "_deferred_tasks"}:
                    yield node, KNOW, f"{each.name} is a copy: changing it changes nothing"


def _decorating(node: ast.AST, name: str) -> Iterator[ast.Call]:
    for each in getattr(node, "decorator_list", ()):
        if isinstance(each, ast.Call) and last_name(each) == name:
            yield each


RULES: dict[str, Rule] = {
    "numeric-interval": numeric_interval,
    "interval-zero": interval_zero,
    "naive-eta": naive_eta,
    "queue-at-call": queue_at_call,
    "mapped-name": mapped_name,
    "target-version": target_version,
    "own-steps": own_steps,
    "transaction": transaction_of_older,
    "decorators-order": decorators_order,
    "own-environment": own_environment,
    "lazy-function": yielding,
    "arguments": keys_of_dicts,
    "private-names": private_names,
}
