import io
import json

from adjourn.log import bound, bound_fields
from adjourn_local.runtime.attributed_output import AttributedOutput


def written(*texts, **fields):
    stream = io.StringIO()
    output = AttributedOutput(stream, lambda: fields)
    for text in texts:
        assert output.write(text) == len(text)
    return stream.getvalue()


def test_a_printed_line_says_which_task_printed_it():
    first, second, rest = written("one\rthree\n\n", task="shop.pay", attempt=2).split("\n")

    assert json.loads(first) == {"message": "one\rthree", "task": "shop.pay", "attempt": 2}
    assert json.loads(second)["message"] == ""
    assert rest == ""


def test_outside_of_a_task_a_line_stays_as_it_is():
    assert written("one\n", "two") == "one\ntwo"


def test_structured_lines_and_halves_of_lines_stay_as_they_are():
    assert written('{"severity": "INFO"}\n', "half", task="t") == '{"severity": "INFO"}\nhalf'


def test_a_line_of_four_megabytes_keeps_its_task():
    (line,) = written(f"{'x' * (4 << 20)}\n", task="shop.pay").splitlines()

    assert json.loads(line)["task"] == "shop.pay"
    assert len(line) < 200_000


def test_the_fields_are_those_of_the_log():
    with bound(task="shop.pay"):
        assert bound_fields() == {"task": "shop.pay"}
    assert bound_fields() == {}


def test_it_is_a_stream_otherwise():
    assert AttributedOutput(io.StringIO("text"), dict).getvalue() == "text"
