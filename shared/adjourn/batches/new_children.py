"""Children that are about to be registered: which they are, and how each is made."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adjourn.batches.children import Child
from adjourn.batches.place import Kind, Place, call_id
from adjourn.errors import DeclarationError
from adjourn.iteration.item_lists import ItemList
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.validation import StartOptions
from adjourn.names import digest_of
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.collecting import is_collected
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.methods import BoundTask, Method
from adjourn.tasks.prepared import Prepared
from adjourn.tasks.task import Task
from adjourn.tasks.unique import content_of


class BatchOptions(NamedTuple):
    """What a batch is made with; see `App.batch`."""

    id: str
    name: str
    on_done: Task[..., Any] | None
    on_failed: Task[..., Any] | None
    policy: str


class NewChild(NamedTuple):
    """A child that is about to be registered.

    Attributes:
        child: What is registered.
        start: Its earliest start.
        queue: Short name of the queue of a call; "" for others.
        prepare: Of a call: returns it with its task, for its place.
        begin: Of a run or a nested batch: lets it begin, at its place.
    """

    child: Child
    start: dt.datetime
    queue: str = ""
    prepare: Callable[[Place], Prepared] | None = None
    begin: Callable[[Place], object] | None = None

    @classmethod
    def of_batch(
        cls, key: bytes, scope: str, start: dt.datetime, begin: Callable[[Place], object]
    ) -> NewChild:
        """Return a nested batch whose block has ended; `begin` seals it."""
        kind = Kind.ADDED_BATCH if scope else Kind.BATCH
        return cls(Child(key, kind), start, begin=begin)


@dataclass(kw_only=True, eq=False, repr=False)
class Naming:
    """Names children, so that the same block or call names the same ones when it is run again.

    Attributes:
        batch: Id of the batch.
        scope: Key of the child that adds, in hexadecimal; "" for the block.
        seen: How often something with the same content was named.
    """

    batch: str
    scope: str
    seen: Counter[str] = field(default_factory=Counter)

    def named(self, *name: str) -> bytes:
        """Return the key of a child with a name, which tells its kind, too."""
        return bytes.fromhex(digest_of(self.batch, self.scope, "name", *name))

    def alike(self, *content: str) -> bytes:
        """Return the key of the next child with this content."""
        text = digest_of(*content)
        self.seen[text] += 1
        return bytes.fromhex(digest_of(self.batch, self.scope, text, str(self.seen[text])))


def new_call(
    enqueuer: Enqueuer,
    naming: Naming,
    task: Task[..., Any],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *number: int,
) -> NewChild:
    """Return a call that is about to be registered; `number` tells those of one `map` apart.

    Raises:
        DeclarationError: Such a call cannot be a child.
        EncodeError: An argument cannot be encoded, or the function does not accept it.
    """
    options = task.defaults
    if isinstance(task, Method) and not task.is_static:
        raise DeclarationError(f"{task.name} is a method; give that of an object: object.method.")
    if options.unique_by is not None or is_collected(options):
        raise DeclarationError(
            f"{task.name} is unique, debounced or throttled: not each of its calls runs, so that"
            " none can be a child of a batch."
        )
    if options.transaction is not None:
        raise DeclarationError(
            f"{task.name}: a child of a batch is in no transaction; add it after that."
        )
    if isinstance(task, BoundTask):
        args = (task.receiver_argument(), *args)
    accepted = check_arguments(task.name, task.function, args, kwargs)
    content = content_of(accepted, enqueuer.codec)
    if options.call_name:
        key = naming.named("call", task.name, options.call_name, *map(str, number))
    else:
        key = naming.alike("call", task.name, json.dumps(content, sort_keys=True))
    envelope = enqueuer.envelope(task, args, kwargs, call=call_id(key))

    def prepare(place: Place) -> Prepared:
        return _prepared(enqueuer, envelope._replace(batch=place.text))

    start = envelope.eta or envelope.enqueued_at
    kind = Kind.ADDED if naming.scope else Kind.CALL
    return NewChild(Child(key, kind), start, envelope.queue, prepare=prepare)


def _prepared(enqueuer: Enqueuer, envelope: Envelope) -> Prepared:
    return enqueuer.with_task(envelope, name=None, eta=envelope.eta)


def new_run(
    enqueuer: Enqueuer,
    naming: Naming,
    cls: type[QueryIter[Any]],
    query: object,
    custom_data: object = None,
    **options: Any,
) -> NewChild:
    """Return a run that is about to be registered; arguments as those of `QueryIter.start`.

    Raises:
        DeclarationError: An option is wrong, or the class is not registered.
        EncodeError: `custom_data` cannot be carried.
    """
    given, starter = StartOptions.given(**options), cls.starter()
    given.check(cls)
    if given.transaction is not None:
        raise DeclarationError("A run in a batch is in no transaction; add it after that.")
    enqueuer.codec.encode(custom_data, "custom_data")
    _check_query(enqueuer, cls, query, given)
    if given.name:
        key = naming.named("run", cls.registered_name, given.name)
    else:
        key = naming.alike("run", cls.registered_name)

    def begin(place: Place) -> object:
        return starter()(cls, query, custom_data, given._replace(run_id=place.text))

    kind = Kind.ADDED_RUN if naming.scope else Kind.RUN
    return NewChild(Child(key, kind), enqueuer.adapters.clock.now(), begin=begin)


def _check_query(
    enqueuer: Enqueuer, cls: type[QueryIter[Any]], query: object, given: StartOptions
) -> None:
    """Refuse now what could not begin when it is registered."""
    if isinstance(query, ItemList):
        given.check_list()
        return
    enqueuer.adapters.queries.describe(
        query,
        limit=given.limit,
        start_cursor=given.start_cursor,
        end_cursor=given.end_cursor,
        keys_only=cls.in_bulk,
    )
