"""Which ports a stack takes: tasks in its state have them in their URLs."""

import socket

import pytest

from adjourn_local.errors import StackError
from adjourn_local.runtime import ports
from adjourn_local.runtime.ports import HOST, choose, last_used, save
from tests.support import free_base


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_state_is_used_with_the_same_ports_again(tmp_path):
    first = choose(0, tmp_path)
    save(tmp_path, first)

    assert len(set(first)) == 5
    assert choose(0, tmp_path) == first
    assert choose(0, tmp_path / "other") != first
    assert choose(0, None) != first


def test_ports_are_none_that_the_system_gives_to_others():
    assert max(choose(0, None)) < 32_768


def test_ports_are_found_where_most_are_in_use(monkeypatch, taken):
    monkeypatch.setattr(ports, "_CANDIDATES", [taken] * 5)

    assert taken not in choose(0, None)


def test_ports_that_were_asked_for_are_kept_as_well(tmp_path):
    base = free_base()

    asked = choose(base, tmp_path)

    assert list(asked) == list(range(base, base + 5))
    save(tmp_path, asked)
    assert choose(0, tmp_path) == list(asked)


def test_others_are_taken_where_the_former_are_in_use(tmp_path, caplog, taken):
    (tmp_path / "ports.json").write_text(f"[{taken}, 1025, 1026, 1027, 1028]")

    assert taken not in choose(0, tmp_path)

    assert f"Port {taken} is in use" in caplog.text
    assert "Others are taken; queued tasks are sent there." in caplog.text


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "{}", "[null, 1, 2, 3, 4]", "[99999999, 1, 2, 3, 4]"]
)
def test_what_cannot_be_read_does_not_matter(tmp_path, text):
    (tmp_path / "ports.json").write_text(text)

    assert last_used(tmp_path) == []
    assert len(choose(0, tmp_path)) == 5


def test_one_that_was_asked_for_and_is_in_use_is_said(taken):
    with pytest.raises(
        StackError, match=f"Port {taken} is in use; stop the program that listens there"
    ):
        choose(taken, None)
