"""Dead letters in groups, and calls with edited arguments, over a real socket."""

import string
from collections.abc import Iterator

import pytest
from google.cloud import datastore

from adjourn_local.console.letter_groups import MOST_GROUPS
from adjourn_local.runtime.harness import RunningStack
from tests.console.application import fail, pay
from tests.console.browser import Browser, Page, discard_all

PAY = "tests.console.application.pay"


@pytest.fixture(autouse=True)
def no_letters(browser: Browser) -> Iterator[None]:
    discard_all(browser)
    yield
    discard_all(browser)


def letter_of(browser: Browser, task: str) -> Page:
    page = browser.get(f"/console/dead-letters?task={task}")
    return browser.get(next(href for href in page.links.values() if "/letter/" in href))


def test_letters_of_one_task_and_error_are_a_group_with_its_number(
    browser: Browser, stack: RunningStack
) -> None:
    for number in range(3):
        pay(number)
    pay("x" * 10)
    fail(1)
    stack.wait()

    page = browser.get("/console/dead-letters")
    groups = {each.fields["group"] for each in page.forms if "group" in each.fields}
    assert len(groups) == 3  # 'xxxxxxxxxx' has no digit
    _, counts = page.text.split("By task and error")
    assert f"{PAY} 3" in counts
    assert f"{PAY} 1" in counts
    assert "tests.console.application.fail 1" in counts
    pages = {each: browser.get(f"/console/dead-letters?group={each}") for each in groups}
    shown = {
        each: [h for h in page.links.values() if "/letter/" in h] for each, page in pages.items()
    }
    assert sorted(map(len, shown.values())) == [1, 1, 3]
    group = max(shown, key=lambda each: len(shown[each]))

    asked = browser.press(pages[group], "Discard", group=group)
    assert "Discard 3 dead letters like ValueError: order" in asked.text
    assert "3 discarded." in browser.press(asked, "Yes").text
    left = browser.get("/console/dead-letters").text
    assert f"{PAY} 1" in left
    assert f"{PAY} 3" not in left


def test_letters_of_earlier_versions_are_listed_by_task_and_in_no_group(
    browser: Browser, stack: RunningStack
) -> None:
    pay(1)
    pay(2)
    stack.wait()
    client = datastore.Client()
    before = next(iter(client.query(kind="AdjournDeadLetter").fetch(limit=1)))
    del before["group"]
    client.put(before)

    by_task, _, by_error = browser.get("/console/dead-letters").text.partition("By task and error")

    assert f"{PAY} 2" in by_task
    assert f"{PAY} 1" in by_error
    assert f"{PAY} 2" not in by_error


def test_there_are_more_groups_than_a_page_has(browser: Browser, stack: RunningStack) -> None:
    for letter in string.ascii_lowercase[: MOST_GROUPS + 2]:
        pay(letter)
    stack.wait()

    page = browser.get("/console/dead-letters")
    more = browser.get(f"/console/dead-letters{page.links['More groups']}")

    groups = [
        {each.fields["group"] for each in shown.forms if "group" in each.fields}
        for shown in (page, more)
    ]
    assert list(map(len, groups)) == [MOST_GROUPS, 2]
    assert groups[0].isdisjoint(groups[1])
    assert "More groups" not in more.links
    assert f"{PAY} {MOST_GROUPS + 2}" in page.text
    assert f"{PAY} {MOST_GROUPS + 2}" in more.text


def test_a_group_is_replayed(browser: Browser, stack: RunningStack) -> None:
    for number in range(2):
        pay(number)
    stack.wait()
    page = browser.get("/console/dead-letters")
    group = next(each.fields["group"] for each in page.forms if "group" in each.fields)

    assert (
        "2 enqueued again." in browser.press(browser.press(page, "Replay", group=group), "Yes").text
    )

    stack.wait()
    assert f"{PAY} 2" in browser.get("/console/dead-letters").text  # given up once more


def test_a_letter_is_replayed_with_edited_arguments(browser: Browser, stack: RunningStack) -> None:
    pay(7, notes=("<b>", "it's"))
    stack.wait()
    letter = letter_of(browser, PAY)
    form = next(each for each in letter.forms if each.label == "Edit and replay")
    assert form.fields["arguments"] == "7,\nnotes=('<b>', \"it's\")"
    assert "b" not in letter.tags

    new = "7, amount={'$decimal': '1.50'},\r\nnotes=('<b>',)"
    asked = browser.fill(letter, "Edit and replay", {"arguments": new})
    assert f"{PAY}(7, amount={{'$decimal': '1.50'}}, notes=('<b>',))" in asked.text
    assert browser.get(letter.path).status == 200  # nothing has happened yet
    done = browser.press(asked, "Yes")

    assert "It is the task projects/" in done.text
    stack.wait()
    assert PAY not in browser.get("/console/dead-letters").text
    audit = browser.get("/console/audit").text
    assert "edit and replay dead letter" in audit
    assert "before (7, notes=('<b>', \"it's\"))" in audit


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7, 8, 9", "too many positional arguments"),
        ("", "missing a required argument: 'order'"),
        ("7, size=1", "unexpected keyword argument 'size'"),
        ("7, amount={'$decimal': 'much'}", "$decimal"),
        ("7, amount={'$shop.Amount': 1}", "Nothing is registered"),
        ("7, amount=Decimal(1)", "These are no arguments"),
        ("__import__('os').getpid()", "These are no arguments"),
        ("7) + open('x'", "Write arguments and nothing else"),
        ("*[7]", "These are no arguments"),
        ("7, amount=1j", "complex"),
        ("[" * 500, "These are no arguments"),
        ("1" * 100_001, "more than 100,000 characters"),
    ],
)
def test_arguments_that_the_task_does_not_accept_change_nothing(
    browser: Browser, stack: RunningStack, text: str, reason: str
) -> None:
    pay(7)
    stack.wait()
    letter = letter_of(browser, PAY)

    refused = browser.fill(letter, "Edit and replay", {"arguments": text, "confirmed": "yes"})

    assert refused.status == 400
    assert reason in refused.text
    now = browser.get(letter.path)
    assert now.forms == letter.forms


def test_a_call_is_made_again_with_edited_arguments(browser: Browser, stack: RunningStack) -> None:
    pay(11)
    stack.wait()
    page = browser.get(f"/console/now?task={PAY}")
    seen = browser.get(next(href for text, href in page.links.items() if "pay(11)" in text))

    refused = browser.fill(seen, "Call again", {"arguments": "11, sum=3"})
    assert "unexpected keyword argument 'sum'" in refused.text
    asked = browser.fill(seen, "Call again", {"arguments": "11, {'$decimal': '2.50'}"})
    assert f"Call {PAY} again?" in asked.text
    done = browser.press(asked, "Yes")

    assert "It is the task projects/" in done.text
    stack.wait()
    assert "pay(11, Decimal('2.50'))" in browser.get(f"/console/now?task={PAY}").text
    assert f"{PAY} 1" in browser.get("/console/dead-letters").text  # the first call's letter stays
