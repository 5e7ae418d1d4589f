"""A shop in ViUR's style on the real stack, and calls that ViUR itself enqueued."""

import base64
import enum
import json
from collections.abc import Iterator
from types import SimpleNamespace

import grpc
import pytest
from google.cloud import datastore, tasks_v2
from google.cloud.datastore.query import PropertyFilter
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.addresses import LOCATION, PROJECT, SERVICE_ACCOUNT
from adjourn_local.runtime.stack import Stack, running
from tests import viur_shop as shop
from tests.e2e.conftest import Ear


class Sorter:
    """Hears of several things that happen in no order of their own."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._heard: list[str] = []

    def hear(self, word: str) -> None:
        """Wait until something was told."""
        while word not in self._heard:
            self._heard.append(self._ear.hear())
        self._heard.remove(word)


@pytest.fixture(scope="module")
def viur_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Sorter]]:
    """Start the stack for the shop."""
    path = tmp_path_factory.mktemp("viur") / "ear"
    ear = Ear(path)
    stack = Stack("tests.viur_shop:app", write=lambda _name, _line: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIUR_EAR", str(path))
        with running(stack):
            yield stack, Sorter(ear)
    ear.close()


@pytest.fixture
def stack(viur_stack: tuple[Stack, Sorter]) -> Stack:
    return viur_stack[0]


@pytest.fixture
def ear(viur_stack: tuple[Stack, Sorter]) -> Sorter:
    return viur_stack[1]


@pytest.fixture
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process talk to the stack."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shop.app, "_wiring", None)


@pytest.mark.usefixtures("environment")
def test_functions_methods_and_startup_tasks_run_in_the_deferred_function(ear: Sorter) -> None:
    assert shop.sendReceipt("a", copy=True, _countdown=0).is_new
    shop.main_app.vi.order.rebuild(deep=True)
    shop.main_app.ping("hello")

    ear.hear("warm")
    ear.hear("receipt a True de")
    ear.hear("rebuild vi/order True")
    ear.hear("and orders")
    ear.hear("ping hello")


@pytest.mark.usefixtures("environment")
def test_a_query_is_walked_over_and_its_entities_are_deleted(ear: Sorter) -> None:
    client = datastore.Client()
    keys = [client.key("Product", number) for number in range(1, 60)]
    entities = [datastore.Entity(key) for key in keys]
    for number, entity in enumerate(entities, 1):
        entity["n"] = number
    client.put_multi(entities)

    shop.Reprice.startIterOnQuery(client.query(kind="Product"), {"sum": 0})
    ear.hear(f"finish 59 {sum(range(1, 60))}")
    shop.EmptyShop.startIterOnQuery(client.query(kind="Product"))
    ear.hear("emptied 59")

    assert list(client.query(kind="Product").fetch()) == []


class SortOrder(enum.Enum):
    """As in ViUR."""

    Ascending = 1
    Descending = 2


@pytest.mark.usefixtures("environment")
def test_a_query_of_viurs_own_is_walked_over(ear: Sorter) -> None:
    client = datastore.Client()
    for number in range(1, 10):
        entity = datastore.Entity(client.key("Article", number))
        entity.update(n=number, shop="north" if number < 8 else "south")
        client.put(entity)
    definition = SimpleNamespace(
        kind="Article",
        filters={"shop =": "north", "n >": 2},
        orders=[("n", SortOrder.Descending)],
        distinct=None,
        startCursor=None,
        endCursor=None,
    )

    shop.Reprice.startIterOnQuery(
        SimpleNamespace(kind="Article", srcSkel=None, queries=definition), {"sum": 1000}
    )

    ear.hear(f"finish 5 {1000 + sum(range(3, 8))}")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            ["unb", ["sendReceipt.tests.viur_shop", ["b"], {"copy": False}, {"user": None}]],
            "receipt b False de",
        ),
        (["rel", ["/vi/order/sync", ["k"], {}, {"user": None, "lang": "de"}]], "sync vi/order k"),
    ],
)
def test_a_call_that_viur_enqueued_runs(stack: Stack, ear: Sorter, body: object, told: str) -> None:
    enqueue(stack, "deferred", body)

    ear.hear(told)


@pytest.mark.usefixtures("environment")
def test_an_iteration_that_viur_began_is_carried_on_where_it_stood(
    stack: Stack, ear: Sorter
) -> None:
    client = datastore.Client()
    entities = [datastore.Entity(client.key("Old", number)) for number in range(1, 30)]
    for number, entity in enumerate(entities, 1):
        entity["n"] = number
    client.put_multi(entities)
    query = client.query(kind="Old", order=["n"])
    query.add_filter(filter=PropertyFilter("n", ">", 2))
    handled = query.fetch(limit=5)
    assert [entity["n"] for entity in handled] == [3, 4, 5, 6, 7]
    step = {
        "kind": "Old",
        "srcSkel": None,
        "filters": {"n >": 2},
        "orders": [["n", 1]],
        "startCursor": base64.urlsafe_b64encode(handled.next_page_token).decode(),
        "endCursor": None,
        "origKind": "Old",
        "distinct": None,
        "classID": "<class 'tests.viur_shop.Reprice'>",
        "customData": {"sum": 25},
        "totalCount": 5,
    }

    enqueue(stack, "queryiter", step)

    ear.hear(f"finish 22 {sum(range(3, 30))}")


def enqueue(stack: Stack, function: str, body: object) -> None:
    """Create a task with a body of ViUR's."""
    url = stack.ports.url(function)
    request = tasks_v2.HttpRequest(
        url=f"{url}/_tasks/{function}",
        body=json.dumps(body).encode(),
        oidc_token=tasks_v2.OidcToken(service_account_email=SERVICE_ACCOUNT, audience=url),
    )
    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        parent = client.queue_path(PROJECT, LOCATION, "default")
        client.create_task(parent=parent, task=tasks_v2.Task(http_request=request))
