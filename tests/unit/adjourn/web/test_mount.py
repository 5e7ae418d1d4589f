"""Where the functions are under a prefix, and what is refused before a server starts."""

import datetime as dt

import pytest

import adjourn.web
from adjourn import App, ConfigurationError, DeclarationError
from adjourn.web.mount import Mount
from tests.unit.adjourn.test_settings import ENVIRONMENT

URL = "https://shop.example/_adjourn"
OWN = {
    "ADJOURN_PROJECT": "shop",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_SERVICE_ACCOUNT": "tasks@shop.iam.gserviceaccount.com",
    "ADJOURN_SERVICE_URL": URL,
}


@pytest.fixture
def mount(app, box):  # noqa: ARG001 - it has to be there
    return Mount(app, "/_adjourn")


@pytest.mark.parametrize(
    ("script", "path", "place"),
    [
        ("", "/_adjourn/deferred/shop.send", ("deferred", "/shop.send")),
        ("/_adjourn", "/cron/nightly", ("cron", "/nightly")),
        ("/site/_adjourn", "/queryiter", ("queryiter", "/")),
        ("/site", "/_adjourn/deferred/list", ("deferred", "/list")),
        ("/site/_adjourn", "/_adjourn/deferred/list", ("deferred", "/list")),
        ("/site/_adjourn", "/other/deferred", ("other", "/deferred")),
        ("", "/_adjourn", ("", "/")),
        ("", "/_adjournment/deferred", None),
        ("", "/shop/_adjourn/deferred", None),
        ("", "/", None),
    ],
)
def test_paths_lead_to_the_functions(mount, script, path, place):
    assert mount.find(script, path) == place


@pytest.mark.parametrize(
    ("script", "path"), [("", "/cron/deferred/x"), ("/cron", "/deferred/x"), ("/cron", "/cron/x")]
)
def test_a_prefix_may_be_named_as_a_function(app, box, script, path):  # noqa: ARG001
    function = "cron" if path == "/cron/x" else "deferred"

    assert Mount(app, "/cron").find(script, path) == (function, "/x")


@pytest.mark.parametrize("prefix", ["", "/", "_adjourn", "/a/", "/a b", "/a//b", "/a?b"])
def test_a_prefix_is_a_path(app, prefix):
    with pytest.raises(ConfigurationError, match="must be a path such as '/_adjourn'"):
        adjourn.web.wsgi(app, prefix=prefix)


@pytest.mark.parametrize("make", [adjourn.web.wsgi, adjourn.web.asgi])
def test_urls_under_another_prefix_are_refused_at_the_start(make, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match="set ADJOURN_SERVICE_URL=https://HOST/_adjourn"):
        make(App())


@pytest.mark.parametrize("make", [adjourn.web.wsgi, adjourn.web.asgi])
def test_missing_settings_are_told_at_the_start(make, monkeypatch):
    monkeypatch.setenv("ADJOURN_SERVICE_URL", URL)

    with pytest.raises(ConfigurationError, match="ADJOURN_LOCATION is not set"):
        make(App())


def test_a_task_that_cannot_run_here_is_refused_at_the_start(app, monkeypatch):
    for name, value in {**OWN, "ADJOURN_FUNCTION_TIMEOUT": "20"}.items():
        monkeypatch.setenv(name, value)

    app.deferred(timeout=dt.timedelta(seconds=30), name="slow")(lambda: None)

    with pytest.raises(DeclarationError):
        adjourn.web.wsgi(app)


def test_without_a_deployment_a_web_application_can_be_imported(app):
    assert adjourn.web.wsgi(app)
    assert adjourn.web.asgi(app)
