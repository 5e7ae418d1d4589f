"""An application that enqueues while it is imported is told where."""

import subprocess
import sys

import pytest

SHOP = """
import adjourn

app = adjourn.App()


@app.deferred
def note(word): ...


@app.query_iter
class Visit(adjourn.QueryIter):
    def handle_entry(self, entry, custom_data): ...


def start():
    {code}
"""
CALLS = {
    "a call": "note('x')",
    "defer": "note.options(queue='q').defer('x')",
    "map": "note.map(['x'])",
    "an iteration": "Visit.start(adjourn.testing.MemoryQuery('Kind'))",
}
SETTINGS = {
    "ADJOURN_PROJECT": "p",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_DEFERRED_URL": "http://127.0.0.1:9",
    "ADJOURN_QUERYITER_URL": "http://127.0.0.1:9",
    "ADJOURN_CRON_URL": "http://127.0.0.1:9",
    "ADJOURN_SERVICE_ACCOUNT": "a@b",
    "CLOUDTASKS_EMULATOR_HOST": "127.0.0.1:9",
    "DATASTORE_EMULATOR_HOST": "127.0.0.1:9",
}
SAID = (
    "{} enqueues while being imported, which each process does that uses the module: do it in a"
    " function"
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def run(folder, code, environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": ":".join([str(folder), *filter(None, sys.path)]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_without_settings_the_line_is_said_before_what_is_missing(folder, call):
    shop = "import adjourn.testing\n" + SHOP.format(code=call) + "\nstart()\n"
    (folder / "shop.py").write_text(shop)

    said = run(folder, "import shop", {})

    line = len(shop.splitlines())
    assert f"ConfigurationError: {SAID.format(f'shop.py line {line}')}" in said
    assert "ADJOURN_PROJECT is not set" in said


def test_a_process_that_loads_its_application_refuses_to_enqueue_meanwhile(folder):
    shop = SHOP.format(code="note('x')") + "\nstart()\n"
    (folder / "shop.py").write_text(shop)
    load = "from adjourn.application.loading import load_app\nload_app({'ADJOURN_APP': 'shop:app'})"

    said = run(folder, load, SETTINGS)

    assert f"DeclarationError: {SAID.format(f'shop.py line {len(shop.splitlines())}')}" in said


def test_a_thread_of_a_loading_process_is_no_import(folder):
    shop = (
        SHOP.format(code="note('x')")
        + """
import threading
def later():
    try:
        note(object())
    except adjourn.EncodeError as error:
        print(type(error).__name__)
thread = threading.Thread(target=later)
thread.start()
thread.join()
"""
    )
    (folder / "shop.py").write_text(shop)
    load = "from adjourn.application.loading import load_app\nload_app({'ADJOURN_APP': 'shop:app'})"

    assert run(folder, load, SETTINGS).strip() == "EncodeError"


def test_what_is_called_after_the_import_is_told_what_is_missing_alone(folder):
    (folder / "shop.py").write_text(SHOP.format(code="note('x')"))

    said = run(folder, "import shop\nshop.start()", {})

    assert "ADJOURN_PROJECT is not set" in said
    assert "while being imported" not in said


def test_a_module_of_another_folder_is_named_with_its_path(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "here").mkdir()
    path = tmp_path / "lib" / "shop.py"
    shop = SHOP.format(code="note('x')") + "\nstart()\n"
    path.write_text(shop)

    code = f"import sys\nsys.path.insert(0, {str(path.parent)!r})\nimport shop"

    assert SAID.format(f"{path} line {len(shop.splitlines())}") in run(tmp_path / "here", code, {})
