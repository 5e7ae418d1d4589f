"""`adjourn up` stops and starts again without losing, repeating or stranding anything."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from google.cloud import tasks_v2

from tests.e2e.up_process import LOCATION, SHOP, Pipe, Up, up
from tests.support import free_base


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


def count(stack: Up, text: str) -> int:
    return sum(text in line for line in stack.lines)


def test_what_ends_while_the_stack_stops_is_acknowledged_and_nothing_is_begun(
    folder: Path, pipe: Pipe
) -> None:
    with up(folder, "--port", "0") as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        stack.find("waiting in")

        stack.send(signal.SIGTERM)
        line = stack.find("[stack]", "Waiting")
        late = stack.call("shop.note", "late")
        with stack.tasks() as tasks:
            tasks.run_task(name=late.name)
        pipe.write("success")

        assert stack.end() == 0
        assert "10 s for shop.wait; Ctrl-C ends at once" in line
        assert count(stack, "ended with success") == 1
        assert count(stack, "Cut off") == 0
        assert count(stack, "noted") == 0

    with up(folder, "--port", "0") as stack:
        stack.ready().find("noted late attempt 1")
        assert stack.stop() == 0
        assert count(stack, "waiting in") == 0


def test_a_second_ctrl_c_ends_at_once_and_what_was_cut_off_runs_again(
    folder: Path, pipe: Pipe
) -> None:
    with up(folder, "--port", "0") as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        stack.find("waiting in")

        stack.send(signal.SIGINT)
        stack.find("Waiting")
        stack.send(signal.SIGINT)

        assert stack.end() == 130
        stack.find("Cut off, to run again at the next start: shop.wait.")
        assert count(stack, "Waiting") == 1

    with up(folder, "--port", "0") as stack:
        stack.ready().find("waiting in")
        pipe.write("success")
        stack.find("ended with success")


def test_ctrl_c_ends_a_stack_without_an_application(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0", "--memory", app="") as stack:
        assert stack.ready().stop() == 0
        stack.find("Stopping ...")


def test_ctrl_c_while_the_application_is_imported_ends_without_a_word(folder: Path) -> None:
    (folder / "shop.py").write_text("import os, time\nprint(os.getpid())\ntime.sleep(60)\n")
    with up(folder, "--port", "0", "--memory") as stack:
        stack.find("[deferred]")

        assert stack.stop() == 130
        printed = r"[\d:]{8} \[\w+\] +\d+"
        assert [line for line in stack.lines if not re.fullmatch(printed, line)] == []


def test_a_task_that_waits_for_the_functions_spends_no_attempt(folder: Path) -> None:
    with up(folder, "--port", "0") as stack:
        stack.ready().call("shop.note", "early", delay=0.5)
        stack.send(signal.SIGKILL)
    door = folder / "door"
    wait = f"""
import pathlib, time
print("importing", flush=True)
while not pathlib.Path({str(door)!r}).exists():
    time.sleep(0.01)
"""
    (folder / "shop.py").write_text(wait + SHOP)

    with up(folder, "--port", "0") as stack:
        stack.find("importing", count=3)
        door.touch()
        stack.find("noted early attempt 1")


@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep to find the worker")
def test_a_killed_function_is_reported_and_started_again(folder: Path, pipe: Pipe) -> None:
    with up(folder, "--port", "0", "--memory") as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        worker = int(stack.find("waiting in").split()[-1])
        master = int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(worker)], text=True))

        os.kill(master, signal.SIGKILL)

        stack.find(
            "[stack]", "The function deferred was killed by SIGKILL; it is started again now."
        )
        stack.call("shop.note", "first")
        stack.find("noted first attempt 1")
        pipe.write("what was under way")
        stack.find("ended with what was under way")
        # Until it has noticed that its master is gone, the old worker takes further calls.
        with suppress(psutil.Error):
            psutil.Process(worker).wait(timeout=30)
        stack.call("shop.wait", pipe.path, queue="slow")
        other = int(stack.find("waiting in", count=2).split()[-1])

        os.kill(other, signal.SIGKILL)

        stack.find("[deferred]", f"(pid:{other}) was sent SIGKILL!")
        stack.find("waiting in", count=3)
        pipe.write("what was repeated")
        stack.find("ended with what was repeated")


def test_a_function_that_cannot_start_again_is_tried_again_after_growing_pauses(
    folder: Path, pipe: Pipe
) -> None:
    with up(folder, "--port", "0", "--memory", "--no-reload") as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        worker = int(stack.find("waiting in").split()[-1])
        master = int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(worker)], text=True))
        (folder / "shop.py").write_text("import no_such_thing")

        os.kill(master, signal.SIGKILL)

        stack.find("No module named 'no_such_thing' (", "shop.py, line 1)")
        stack.find("The function deferred did not start; it is started again in 1 s.")
        (folder / "shop.py").write_text(SHOP)
        stack.call("shop.note", "mended")
        stack.find("noted mended attempt 1")
        pipe.write("")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("state", [["--memory"], []], ids=["memory", "state"])
def test_after_a_kill_the_next_start_waits_for_the_functions_of_the_last(
    folder: Path, pipe: Pipe, state: list[str]
) -> None:
    port = str(free_base())
    with up(folder, "--port", port, *state) as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        stack.find("waiting in")
        stack.send(signal.SIGKILL)
        stack.process.wait(timeout=30)

        with up(folder, "--port", port, *state) as second:
            second.find("is in use, perhaps by functions of a stack that was killed; waiting")
            pipe.write("success")
            second.ready()
            assert (
                second.variables["ADJOURN_DEFERRED_URL"] == stack.variables["ADJOURN_DEFERRED_URL"]
            )


@pytest.fixture
def occupied() -> Iterator[list[socket.socket]]:
    """Return a list for sockets, which are closed in the end."""
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


@pytest.mark.parametrize("asks", [False, True], ids=["others are taken", "others are asked for"])
def test_tasks_and_jobs_follow_the_functions_to_other_ports(
    folder: Path, occupied: list[socket.socket], *, asks: bool
) -> None:
    with up(folder, "--port", "0") as stack:
        stack.ready()
        with stack.tasks() as tasks:
            tasks.pause_queue(name=f"{LOCATION}/queues/default")
        stack.call("shop.note", "far")
        stack.stop()
    if asks:
        options = ["--port", str(free_base())]
    else:
        options = ["--port", "0"]
        taken = socket.create_server(tuple(address(stack.variables["DATASTORE_EMULATOR_HOST"])))
        occupied.append(taken)

    with up(folder, *options) as second:
        second.ready()
        with second.tasks() as tasks:
            (task,) = tasks.list_tasks(
                request={
                    "parent": f"{LOCATION}/queues/default",
                    "response_view": tasks_v2.Task.View.FULL,
                }
            )
            tasks.resume_queue(name=f"{LOCATION}/queues/default")
        second.find("noted far attempt 1")

        url = second.variables["ADJOURN_DEFERRED_URL"]
        assert url != stack.variables["ADJOURN_DEFERRED_URL"]
        assert task.http_request.url == f"{url}/shop.note"
        assert task.http_request.oidc_token.audience == url


def address(text: str) -> tuple[str, int]:
    host, port = text.split(":")
    return host, int(port)


def test_a_line_of_four_megabytes_holds_nothing_up(folder: Path) -> None:
    code = "\n\n@app.deferred\ndef shout(): say('x' * (4 << 20))\n"
    (folder / "shop.py").write_text(SHOP + code)
    with up(folder, "--port", "0", "--memory") as stack:
        stack.ready().call("shop.shout")
        long = stack.find("xxx")

        stack.call("shop.note", "after")

        stack.find("noted after attempt 1")
        assert "characters are left out" in long
        assert 10_000 < len(long) < 100_000
