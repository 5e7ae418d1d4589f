"""The console in front of a real stack, over a real socket."""

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from google.cloud import datastore

from adjourn_local.runtime.harness import RunningStack
from tests.console.application import HOSTILE, Reprice, fail, refuse
from tests.console.browser import Browser, discard_all

SWEEP = "tests.console.application.sweep"
PATHS = (
    "/now",
    "/queues",
    "/dead-letters",
    "/batches",
    "/flows",
    "/iterations",
    "/periodic",
    "/schedules",
    "/start",
    "/audit",
    "/settings",
    "/clock",
    "/datastore",
)


@pytest.fixture
def letters(stack: RunningStack, browser: Browser) -> Iterator[None]:
    discard_all(browser)
    for number in range(3):
        fail(number)
    stack.wait()
    yield
    discard_all(browser)


@pytest.mark.parametrize("path", PATHS)
def test_a_page_answers_when_there_is_nothing_to_show(browser: Browser, path: str) -> None:
    page = browser.get(f"/console{path}")

    assert page.status == 200
    assert "This page cost" in page.text


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/static/console.css"])
def test_every_answer_forbids_foreign_and_inline_code(browser: Browser, path: str) -> None:
    policy = browser.get(f"/console{path}").headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_nothing_inline(browser: Browser, path: str) -> None:
    body = browser.get(f"/console{path}").body

    assert "style=" not in body
    assert "onclick" not in body
    assert body.count("<script") == body.count('<script src="/console/static/') == 2


def test_the_first_page_is_reached_from_the_root(browser: Browser) -> None:
    assert browser.get("/console").status in {200, 307}
    assert browser.get("/console/nothing").status == 404


@pytest.mark.usefixtures("letters")
def test_dead_letters_are_grouped_and_shown_with_call_and_traceback(browser: Browser) -> None:
    page = browser.get("/console/dead-letters")
    assert "tests.console.application.fail 3" in page.text

    (path, *_) = [href for href in page.links.values() if "/letter/" in href]
    letter = browser.get(path)

    assert "tests.console.application.fail(" in letter.text
    assert "Traceback (most recent call last)" in letter.text


@pytest.mark.usefixtures("letters")
def test_what_a_task_wrote_is_text_and_nothing_else(browser: Browser) -> None:
    page = browser.get("/console/dead-letters")
    letter = browser.get(next(href for href in page.links.values() if "/letter/" in href))

    for each in (page, letter):
        assert "img" not in each.tags
        assert each.tags.count("script") == 2
        assert "<script>alert(1)</script>" in each.text
        assert "\x1b" not in each.body
        assert "\u202e" not in each.body
    assert r"\x1b[31m" in letter.text
    assert HOSTILE not in letter.body


@pytest.mark.usefixtures("letters")
def test_a_replay_asks_says_what_it_does_and_is_written_down(
    browser: Browser, stack: RunningStack
) -> None:
    task = "tests.console.application.fail"
    page = browser.get("/console/dead-letters")

    asked = browser.press(page, "Replay", task=task)
    assert f"Replay 3 dead letters of {task}?" in asked.text
    assert "enqueued again" in asked.text
    assert f"{task} 3" in browser.get("/console/dead-letters").text  # nothing has happened yet
    done = browser.press(asked, "Yes")

    assert "3 enqueued again." in done.text
    stack.wait()
    assert f"{task} 3" in browser.get("/console/dead-letters").text  # they failed again
    assert "replay dead letters" in browser.get("/console/audit").text


def test_one_letter_is_discarded(browser: Browser, stack: RunningStack) -> None:
    refuse("x" * 10)
    stack.wait()
    page = browser.get("/console/dead-letters?task=tests.console.application.refuse")
    letter = browser.get(next(href for href in page.links.values() if "/letter/" in href))

    done = browser.press(browser.press(letter, "Discard"), "Yes")

    assert "1 discarded." in done.text
    assert browser.get(letter.path).status == 404


def test_a_million_characters_are_cut(browser: Browser, stack: RunningStack) -> None:
    refuse("x" * 1_000_000)
    stack.wait()
    page = browser.get("/console/dead-letters?task=tests.console.application.refuse")
    letter = browser.get(next(href for href in page.links.values() if "/letter/" in href))

    assert len(letter.body) < 100_000
    assert browser.press(browser.press(letter, "Discard"), "Yes").status == 200


@pytest.mark.parametrize("token", ["", "0" * 32, "\N{SNOWMAN}"])
def test_a_form_of_somebody_else_changes_nothing(browser: Browser, token: str) -> None:
    fields = {"csrf": token, "task": "x", "confirmed": "yes"}

    assert browser.post("/console/dead-letters/discard", fields).status == 403


def test_a_run_is_shown_with_what_failed_and_can_be_run_again(
    browser: Browser, stack: RunningStack
) -> None:
    client = datastore.Client()
    kind = f"Product{uuid.uuid4().hex}"
    entities = [datastore.Entity(client.key(kind, number)) for number in range(1, 21)]
    entities[4]["is_bad"] = True
    client.put_multi(entities)
    run = Reprice.start(client.query(kind=kind))
    stack.wait()

    listed = browser.get("/console/iterations")
    assert "tests.console.application.Reprice" in listed.text
    assert "20 of 20" in listed.text
    page = browser.get(f"/console/iterations/run/{run.id}")
    assert "finished" in page.text
    assert f"{kind}" in page.text
    assert "img" not in page.tags
    again = browser.press(browser.press(page, "Rerun failed"), "Yes")

    assert "is started." in again.text
    stack.wait()
    assert "1 of 1" in browser.get("/console/iterations").text


def test_what_is_done_to_a_run_that_has_ended_is_said(
    browser: Browser, stack: RunningStack
) -> None:
    client = datastore.Client()
    run = Reprice.start(client.query(kind="Nothing"))
    stack.wait()
    page = browser.get("/console/dead-letters")
    token = next((form.fields["csrf"] for form in page.forms), "")
    fields = {"csrf": token, "id": run.id, "control": "pause", "confirmed": "yes"}
    if not token:
        token = browser.get("/console/periodic").forms[0].fields["csrf"]
        fields["csrf"] = token

    done = browser.post("/console/iterations/control", fields)

    assert "Not possible any more: the run is finished." in done.text


def test_a_periodic_function_is_run_by_hand(browser: Browser, stack: RunningStack) -> None:
    page = browser.get("/console/periodic")
    assert "tests.console.application.sweep" in page.text
    assert "30 3 * * *" in page.text

    done = browser.press(browser.press(page, "Run", name="tests.console.application.report"), "Yes")

    assert "tests.console.application.report is the task" in done.text
    stack.wait()


def test_a_job_is_paused_and_resumed(browser: Browser) -> None:
    page = browser.get("/console/periodic")
    paused = browser.press(browser.press(page, "Pause", name="nightly"), "Yes")
    assert "The job nightly is PAUSED." in paused.text
    assert "nightly" in paused.text

    resumed = browser.press(browser.press(paused, "Resume", name="nightly"), "Yes")

    assert "The job nightly is ENABLED." in resumed.text


def test_a_function_is_paused_its_slots_are_left_out_and_it_is_resumed(
    browser: Browser, stack: RunningStack
) -> None:
    page = browser.get("/console/periodic")

    asked = browser.press(page, "Pause", name=SWEEP)
    assert "left out for good, with a log event" in asked.text
    paused = browser.press(asked, "Yes")
    assert f"{SWEEP} is paused." in paused.text
    assert "nightly" in paused.text
    stack.travel(by=dt.timedelta(hours=9))
    function = browser.get(f"/console/periodic/function?name={SWEEP}")
    while "the function is paused" not in function.text:
        function = browser.get(f"/console/periodic/function?name={SWEEP}")
    assert "left out" in function.text
    resumed = browser.press(browser.press(function, "Resume"), "Yes")

    assert f"{SWEEP} is resumed." in resumed.text
    assert "pause periodic function" in browser.get("/console/audit").text
    browser.press(browser.press(browser.get("/console/clock"), "Follow the machine"), "Yes")
    assert browser.get("/console/periodic/function?name=nobody").status == 404


def test_a_month_shows_what_is_due_from_now_on(browser: Browser, stack: RunningStack) -> None:
    after = (stack.now().replace(day=1) + dt.timedelta(days=31)).replace(day=1)

    page = browser.get(f"/console/periodic?month={after:%Y-%m}")

    assert (
        page.text.count("03:30 report")
        == ((after + dt.timedelta(days=31)).replace(day=1) - after).days
    )
    assert f"{after:%B %Y}" in page.text
    assert (
        "report"
        not in browser.get("/console/periodic?month=2020-01")
        .text.partition("January 2020")[2]
        .partition("Jobs of")[0]
    )


@pytest.mark.parametrize(
    "path",
    [
        "/periodic?month=2026-13",
        "/dead-letters?after=%00",
        "/iterations?before=yesterday",
        "/iterations?before=2026-01-01T00:00:00",
        "/audit?before=x",
        "/datastore/entity?address=x",
        "/datastore/entity?address=[1,2]",
        "/datastore/entity?address=[%22%22,%22Kind%22]",
        "/datastore?kind=a&after=%00",
    ],
)
def test_a_wrong_address_is_the_readers_fault(browser: Browser, path: str) -> None:
    assert browser.get(f"/console{path}").status == 400


def test_the_clock_is_moved_and_follows_the_machine_again(
    browser: Browser, stack: RunningStack
) -> None:
    before = stack.now()
    page = browser.get("/console/clock")

    moved = browser.press(browser.press(page, "+1 hour"), "Yes")

    assert "The clock shows" in moved.text
    assert stack.now() - before >= dt.timedelta(hours=1)
    browser.press(browser.press(moved, "Follow the machine"), "Yes")
    assert stack.now() - before < dt.timedelta(hours=1)


def test_faults_are_injected_and_taken_back(browser: Browser) -> None:
    page = browser.get("/console/clock")
    form = next(each for each in page.forms if each.label == "Inject")
    wanted = {**form.fields, "duplicates": "0.25", "delay": "0.1..0.2s"}

    injected = browser.press(browser.post("/console/clock/faults", wanted), "Yes")

    assert "duplicates=0.25" in injected.text
    again = next(each for each in injected.forms if each.label == "Inject").fields
    assert (again["duplicates"], again["delay"]) == ("0.25", "0.1..0.2s")
    nothing = {**again, "duplicates": "0", "delay": ""}
    assert (
        "Faults: none." in browser.press(browser.post("/console/clock/faults", nothing), "Yes").text
    )


def test_a_fault_that_cannot_be_is_refused(browser: Browser) -> None:
    page = browser.get("/console/clock")
    fields = next(each for each in page.forms if each.label == "Inject").fields

    refused = browser.press(
        browser.post("/console/clock/faults", {**fields, "duplicates": "7"}), "Yes"
    )

    assert refused.status == 400
    assert "not a share from 0 to 1" in refused.text


def test_a_person_sees_her_tasks_and_starts_one_with_a_form(
    browser: Browser, stack: RunningStack
) -> None:
    assert (
        "no task that this account may start"
        in browser.get("/console/start?email=eve@elsewhere.example").text
    )
    page = browser.get("/console/start?email=ann@shop.example")
    assert "Rebuild the index <b>now</b>" in page.text
    assert "b" not in page.tags
    (form,) = [each for each in page.forms if each.label == "Start"]
    filled = {
        **form.fields,
        "parameter:since": "2026-03-01",
        "parameter:size": "large",
        "parameter:tags": "a\nb",
        "parameter:dry": "true",
    }

    asked = browser.post(form.action, filled)
    assert "since='2026-03-01'" in asked.text
    assert "tags=['a', 'b']" in asked.text
    assert "dry=True" in asked.text
    done = browser.press(asked, "Yes")

    assert "rebuild is the task" in done.text
    assert "as ann@shop.example" in browser.get("/console/audit").text
    stack.wait()


def test_parameters_that_do_not_fit_are_named(browser: Browser) -> None:
    page = browser.get("/console/start?email=ann@shop.example")
    (form,) = [each for each in page.forms if each.label == "Start"]

    refused = browser.press(
        browser.post(form.action, {**form.fields, "parameter:since": "tomorrow"}), "Yes"
    )

    assert "The parameters do not fit" in refused.text
    assert "since" in refused.text


def test_an_entity_is_looked_at_edited_and_deleted(browser: Browser) -> None:
    client = datastore.Client()
    kind = f"Order{uuid.uuid4().hex}"
    entity = datastore.Entity(client.key("Shop", "b<b>", kind, 7), exclude_from_indexes=("note",))
    entity.update(paid=False, note="<i>x\x1b</i>", total=1.5, at=dt.datetime.now(dt.UTC), tags=[1])
    client.put(entity)

    listed = browser.get(f"/console/datastore?kind={kind}")
    assert "Shop, b<b>" in listed.text
    page = browser.get(next(href for href in listed.links.values() if "/entity?" in href))
    assert "i" not in page.tags
    assert r"<i>x\x1b</i>" in page.text
    forms = {each.fields.get("name"): each for each in page.forms}
    assert set(forms) == {"paid", "note", "total", "at", None}  # a list is not edited here
    asked = browser.post(forms["paid"].action, {**forms["paid"].fields, "value": "true"})
    assert "It is False now." in asked.text
    assert "paid is True now." in browser.press(asked, "Yes").text
    changed = client.get(entity.key)
    assert changed["paid"] is True
    assert changed.exclude_from_indexes == {"note"}

    assert "is deleted" in browser.press(browser.press(page, "Delete"), "Yes").text
    assert client.get(entity.key) is None
    assert browser.get(page.path).status == 404


def test_composite_indexes_that_queries_needed_are_terraform_text(browser: Browser) -> None:
    client = datastore.Client()
    kind = f"Order{uuid.uuid4().hex}"
    client.put(datastore.Entity(client.key(kind, 1)))
    query = client.query(kind=kind, order=["-<b>paid", "total"])
    assert list(query.fetch()) == []

    page = browser.get("/console/datastore")

    assert "b" not in page.tags
    assert f'kind = "{kind}"' in page.text
    assert '{ name = "<b>paid", order = "DESCENDING" }, { name = "total" }' in page.text
    assert kind not in browser.get("/console/datastore?kind=Order").text.partition("indexes")[2]


@pytest.mark.parametrize("value", ["'x'", '"text"', "", "2026-01-01"])
def test_a_value_of_another_type_is_refused(browser: Browser, value: str) -> None:
    client = datastore.Client()
    entity = datastore.Entity(client.key("Flag", 1))
    entity["paid"] = False
    client.put(entity)
    page = browser.get("/console/datastore?kind=Flag")
    page = browser.get(next(href for href in page.links.values() if "/entity?" in href))
    form = next(each for each in page.forms if each.fields.get("name") == "paid")

    assert browser.post(form.action, {**form.fields, "value": value}).status == 400
    assert client.get(entity.key)["paid"] is False


def test_settings_declarations_and_what_the_doctor_says(browser: Browser) -> None:
    page = browser.get("/console/settings")
    assert "ADJOURN_LOCATION europe-west1 environment" in page.text
    assert "tests.console.application.fail" in page.text

    examined = browser.get("/console/settings?examine=1")

    assert "ok settings All settings are there and agree." in examined.text


def test_a_queue_is_paused_its_task_run_and_another_cancelled(
    browser: Browser, stack: RunningStack
) -> None:
    page = browser.get("/console/queues")
    assert "default running" in page.text
    paused = browser.press(browser.press(page, "Pause", queue="default"), "Yes")
    assert "default paused" in paused.text
    fail("first")
    fail.options(delay=3600).defer("second")

    queue = browser.get("/console/queues/queue/default")
    assert "fail('first')" in queue.text
    shown = browser.get(next(href for text, href in queue.links.items() if "'second'" in text))
    assert "in 59 min" in shown.text
    asked = browser.press(shown, "Cancel")
    assert "deleted for good" in asked.text
    left = browser.press(asked, "Yes")
    assert "'second'" not in left.text
    first = browser.get(next(href for text, href in left.links.items() if "'first'" in text))
    assert "done with" in browser.press(browser.press(first, "Run now"), "Yes").text
    browser.press(browser.press(browser.get("/console/queues"), "Resume", queue="default"), "Yes")
    stack.wait()

    assert "fail('" not in browser.get("/console/queues/queue/default").text
    assert browser.get(shown.path).status == 404


def test_what_is_due_or_delayed_in_a_paused_queue_is_run(
    browser: Browser, stack: RunningStack
) -> None:
    page = browser.get("/console/queues")
    browser.press(browser.press(page, "Pause", queue="default"), "Yes")
    for number in range(3):
        fail(f"due {number}")
    fail.options(delay=3600).defer("delayed")

    queue = browser.get("/console/queues/queue/default")
    asked = browser.press(queue, "Run what is due now, up to 500")
    assert "Run 3 tasks of default now?" in asked.text
    assert "though the queue is paused" in asked.text
    assert "3 are attempted now." in browser.press(asked, "Yes").text
    while (
        "due"
        in (left := browser.get("/console/queues/queue/default"))
        .text.replace("due or", "")
        .partition("Created")[2]
    ):
        pass
    assert "fail('delayed')" in left.text
    asked = browser.press(left, "Run what is due or delayed, up to 500")
    assert "Run 1 tasks of default now?" in asked.text
    assert "1 are attempted now." in browser.press(asked, "Yes").text
    browser.press(browser.press(browser.get("/console/queues"), "Resume", queue="default"), "Yes")
    stack.wait()
    assert "run all tasks" in browser.get("/console/audit").text


def test_a_queue_is_purged(browser: Browser) -> None:
    fail.options(delay=3600).defer(1)
    page = browser.get("/console/queues")

    browser.press(browser.press(page, "Purge", queue="default"), "Yes")

    assert "fail(1)" not in browser.get("/console/queues/queue/default").text


def test_a_queue_that_is_not_there(browser: Browser) -> None:
    assert browser.get("/console/queues/queue/nothing").status == 404
    assert browser.get("/console/queues/queue/default/nothing").status == 404


def attempts(page):
    return [text for text in page.links if ".fail(" in text or ".refuse(" in text]


def test_attempts_are_shown_as_they_end_with_what_was_logged(
    browser: Browser, stack: RunningStack
) -> None:
    fail("seen")
    stack.wait()

    page = browser.get("/console/now?task=tests.console.application.fail")
    text, href = next((t, h) for t, h in page.links.items() if "'seen'" in t)
    assert text == "tests.console.application.fail('seen')"
    # What a function prints arrives a moment after its answer.
    while "will not be tried again" not in (attempted := browser.get(href)).text:
        pass

    assert "Attempt 1 200" in attempted.text  # given up at once: a dead letter
    assert "Traceback (most recent call last)" in attempted.text
    assert "img" not in attempted.tags
    assert "from tests.console.application import fail" in attempted.text
    assert "fail.call_local('seen')" in attempted.text


def test_attempts_are_filtered(browser: Browser, stack: RunningStack) -> None:
    fail("kept")
    stack.wait()

    assert attempts(browser.get("/console/now?queue=default"))
    assert not attempts(browser.get("/console/now?queue=mail"))
    assert not attempts(browser.get("/console/now?task=tests.console.application.sweep"))
    assert not attempts(browser.get("/console/now?failed=1"))  # a dead letter is acknowledged
    assert browser.get("/console/now/task/default/nothing").status == 404


def test_attempts_are_streamed_until_the_browser_leaves(
    browser: Browser, stack: RunningStack
) -> None:
    with browser.stream("/console/now/events?after=0") as lines:
        assert lines.readline() == b": hello\n"
        fail("<streamed>")
        while b"&lt;streamed&gt;" not in lines.readline():
            pass
    stack.wait()


def test_a_stream_goes_on_after_the_last_event_that_was_seen(
    browser: Browser, stack: RunningStack
) -> None:
    fail("before")
    stack.wait()
    with browser.stream("/console/now/events?after=0") as lines:
        while not (line := lines.readline()).startswith(b"id: "):
            pass
    last = line.removeprefix(b"id: ").strip().decode()

    with browser.stream("/console/now/events", **{"Last-Event-ID": last}) as lines:
        fail("after")
        seen = b""
        while b"&#39;after&#39;" not in seen:
            seen += lines.readline()

    assert b"&#39;before&#39;" not in seen
