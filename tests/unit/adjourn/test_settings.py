"""Settings are read once, and every mistake is told at once, with its fix."""

import dataclasses

import pytest

from adjourn import App
from adjourn.errors import ConfigurationError
from adjourn.settings import GOOGLE_KEYS_URL, Platform, Settings

ENVIRONMENT = {
    "ADJOURN_PROJECT": "shop",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_DEFERRED_URL": "https://deferred-x.run.app",
    "ADJOURN_QUERYITER_URL": "https://queryiter-x.run.app/",
    "ADJOURN_CRON_URL": "https://cron-x.run.app",
    "ADJOURN_SERVICE_ACCOUNT": "tasks@shop.iam.gserviceaccount.com",
}


def read(**changes):
    return Settings.from_env(ENVIRONMENT | changes)


def mistakes(**changes):
    with pytest.raises(ConfigurationError) as caught:
        read(**changes)
    head, *found = str(caught.value).splitlines()
    assert head == "adjourn cannot start:"
    return found


def test_what_is_required_is_enough():
    settings = read()

    assert settings == Settings(
        project="shop",
        location="europe-west1",
        deferred_url="https://deferred-x.run.app",
        queryiter_url="https://queryiter-x.run.app",
        cron_url="https://cron-x.run.app",
        service_account="tasks@shop.iam.gserviceaccount.com",
    )
    assert (settings.queue, settings.keys_url) == ("default", GOOGLE_KEYS_URL)


def test_everything_can_be_set():
    settings = read(
        ADJOURN_CALLERS="a@x.example, b@x.example,",
        ADJOURN_AUDIENCES="https://tasks.shop.example",
        ADJOURN_QUEUE="fast",
        ADJOURN_FALLBACK_LOCATION="europe-west4",
        ADJOURN_PLATFORM="cloud-run-iam",
        K_SERVICE="deferred",
        ADJOURN_DATABASE="orders",
        ADJOURN_FUNCTION_TIMEOUT="540",
        ADJOURN_DATASTORE_TIMEOUT="3",
        ADJOURN_KEYS_URL="http://127.0.0.1:8081/certs",
        ADJOURN_CLEANUP="true",
        ADJOURN_JOB_LOCATION="europe-west3",
        CLOUDSCHEDULER_EMULATOR_HOST="127.0.0.1:8081",
        CLOUDTASKS_EMULATOR_HOST="127.0.0.1:8080",
    )

    assert settings.callers == ("a@x.example", "b@x.example")
    assert settings.audiences == ("https://tasks.shop.example",)
    assert (settings.queue, settings.database) == ("fast", "orders")
    assert settings.fallback_location == "europe-west4"
    assert (settings.function_timeout, read().function_timeout) == (540, 1800)
    assert (settings.datastore_timeout, read().datastore_timeout) == (3, 10)
    assert settings.platform == Platform.CLOUD_RUN_IAM
    assert settings.keys_url == "http://127.0.0.1:8081/certs"
    assert (settings.cleanup, read().cleanup) == (True, False)
    assert (settings.region_of_jobs(), read().region_of_jobs()) == ("europe-west3", "europe-west1")
    assert settings.tasks_host == "127.0.0.1:8080"
    assert settings.scheduler_host == "127.0.0.1:8081"


def test_the_project_may_be_named_as_google_does():
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "ADJOURN_PROJECT"}

    settings = Settings.from_env(environment | {"GOOGLE_CLOUD_PROJECT": "shop"})

    assert settings.project == "shop"


@pytest.mark.parametrize("name", ["ADJOURN_REVISION", "K_REVISION", "GAE_DEPLOYMENT_ID"])
def test_the_revision_may_be_named_as_the_platform_does(name):
    later = {"K_REVISION": "x", "GAE_DEPLOYMENT_ID": "y"} if name == "ADJOURN_REVISION" else {}

    assert read(**{**later, name: " shop-00007 "}).revision == "shop-00007"
    assert read(ADJOURN_REVISION=" ", K_REVISION="").revision == ""


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 0),
        ({"K_SERVICE": "deferred"}, 1),
        ({"K_SERVICE": "deferred", "ADJOURN_TELEMETRY_FLUSH": "0"}, 0),
        ({"ADJOURN_TELEMETRY_FLUSH": "30"}, 30),
    ],
)
def test_spans_are_exported_at_once_where_cloud_run_may_take_the_cpu_away(changes, seconds):
    assert Settings.from_env({**ENVIRONMENT, **changes}).telemetry_flush == seconds


@pytest.mark.parametrize("text", ["31", "-1", "soon"])
def test_nobody_waits_for_an_export_for_ever(text):
    with pytest.raises(ConfigurationError, match=r"ADJOURN_TELEMETRY_FLUSH=.* from 0 to 30"):
        Settings.from_env({**ENVIRONMENT, "ADJOURN_TELEMETRY_FLUSH": text})


def test_blanks_around_a_value_do_not_count():
    settings = read(ADJOURN_PROJECT=" shop\n", ADJOURN_LOCATION=" europe-west1 ")

    assert (settings.project, settings.location) == ("shop", "europe-west1")


def test_all_that_is_missing_is_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({})

    assert str(caught.value).splitlines()[1:] == [
        "- ADJOURN_PROJECT is not set: the Google Cloud project.",
        "- ADJOURN_LOCATION is not set: the region of the queues, such as europe-west1.",
        "- ADJOURN_DEFERRED_URL is not set: the URL of the deferred function.",
        "- ADJOURN_QUERYITER_URL is not set: the URL of the queryiter function.",
        "- ADJOURN_CRON_URL is not set: the URL of the cron function.",
        "- ADJOURN_SERVICE_ACCOUNT is not set: the account whose identity tasks carry.",
    ]


def test_all_that_is_wrong_is_told_at_once():
    found = mistakes(
        ADJOURN_LOCATON="x",
        ADJOURN_LOCATION="",
        ADJOURN_CRON_URL="http://cron",
        ADJOURN_CALLERS="somebody",
        ADJOURN_QUEUE="my_queue",
    )

    assert found == [
        "- ADJOURN_LOCATON is not a setting of adjourn; did you mean ADJOURN_LOCATION?",
        "- ADJOURN_LOCATION is not set: the region of the queues, such as europe-west1.",
        "- ADJOURN_CRON_URL='http://cron' must be an https:// URL (http:// on loopback only).",
        "- ADJOURN_CALLERS: 'somebody' is not the e-mail address of a service account.",
        "- ADJOURN_QUEUE='my_queue' must be 1 to 100 letters, digits or hyphens.",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("14", 14), ("3601", 3601), ("60s", "60s"), ("1e3", "1e3"), ("-60", "-60"), ("", 0)],
)
def test_the_timeout_of_the_function_is_one_that_it_can_have(text, value):
    (found,) = mistakes(ADJOURN_FUNCTION_TIMEOUT=text)

    assert found.startswith(
        f"- ADJOURN_FUNCTION_TIMEOUT={value!r} must be the deferred function's own timeout"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("61", 61), ("5s", "5s"), ("0.5", "0.5"), ("-1", "-1"), ("", 0)],
)
def test_the_timeout_of_datastore_is_at_most_its_own(text, value):
    assert mistakes(ADJOURN_DATASTORE_TIMEOUT=text) == [
        f"- ADJOURN_DATASTORE_TIMEOUT={value!r} must be a whole number of seconds from 1 to 60."
    ]


@pytest.mark.parametrize("region", ["europe-west1", "Europe", "a/b"])
def test_the_fallback_has_to_be_another_region(region):
    (found,) = mistakes(ADJOURN_FALLBACK_LOCATION=region)

    assert found.startswith(f"- ADJOURN_FALLBACK_LOCATION={region!r} must be another region than")


def test_an_unknown_setting_like_no_other_is_to_be_removed():
    assert mistakes(ADJOURN_ZZZ="1") == ["- ADJOURN_ZZZ is not a setting of adjourn; remove it."]


def test_the_variable_that_names_the_application_is_not_a_mistake():
    assert read(ADJOURN_APP="shop:app").project == "shop"


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1:8081", "[::1]:8081"])
def test_plain_http_is_for_loopback(host):
    assert read(ADJOURN_DEFERRED_URL=f"http://{host}").deferred_url == f"http://{host}"


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example",
        "http://localhost.shop.example",
        "http://127.0.0.1@shop.example",
        "ftp://127.0.0.1",
        "shop.example",
        "https://?",
        "https://[::1",
        "https://shop.example?x=1",
        "https://shop.example#x",
        "https://user:secret@shop.example",
        "https://shop.example:99999",
        "https://my shop.example",
        "https://shöp.example",
    ],
)
@pytest.mark.parametrize("variable", ["ADJOURN_DEFERRED_URL", "ADJOURN_KEYS_URL"])
def test_no_other_url_is_safe(variable, url):
    (found,) = mistakes(**{variable: url})

    assert found.startswith(f"- {variable}={url!r} must be an https:// URL")


@pytest.mark.parametrize(
    ("platform", "sign"),
    [
        ("verify", ""),
        ("", ""),
        ("cloud-run-iam", "K_SERVICE"),
        ("app-engine", "GAE_ENV"),
        ("app-engine", "GAE_APPLICATION"),
    ],
)
def test_a_platform_is_named_where_it_is(platform, sign):
    assert read(ADJOURN_PLATFORM=platform, **{sign: "x"}).platform == (platform or "verify")


def test_a_platform_that_is_not_here_is_told_with_all_other_mistakes():
    queue, platform = mistakes(ADJOURN_PLATFORM="app-engine", ADJOURN_QUEUE="my_queue", GAE_ENV="")

    assert queue.startswith("- ADJOURN_QUEUE='my_queue' must be")
    assert platform == (
        "- ADJOURN_PLATFORM=app-engine is only for where GAE_ENV or GAE_APPLICATION is set; "
        "remove it."
    )


def test_the_callers_are_the_service_account_unless_others_are_named():
    assert read().accepted_callers() == {"tasks@shop.iam.gserviceaccount.com"}
    assert read(ADJOURN_CALLERS="a@x.example").accepted_callers() == {"a@x.example"}


def test_further_audiences_are_accepted_beside_the_functions_own():
    settings = read(ADJOURN_AUDIENCES="https://tasks.shop.example")

    assert settings.accepted_audiences("https://a") == {"https://a", "https://tasks.shop.example"}


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().project = "other"


def test_queues_have_their_own_number_of_attempts():
    settings = read(ADJOURN_MAX_ATTEMPTS="50, mail=20,slow=-1")

    found = [settings.attempts_of(queue) for queue in ("default", "mail", "slow")]
    assert found == [50, 20, 0]
    assert read(ADJOURN_MAX_ATTEMPTS="mail=20").attempts_of("default") == 100
    assert read().attempts_of("mail") == 100


@pytest.mark.parametrize("text", ["many", "0", "mail=", "mail=-2", "a b=3", "mail=1.5", "-1.0"])
def test_attempts_that_are_no_number_are_refused(text):
    (found,) = mistakes(ADJOURN_MAX_ATTEMPTS=text)

    assert found.startswith("- ADJOURN_MAX_ATTEMPTS: ")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("ADJOURN_PROJECT", "projects/shop", "the id of a project"),
        ("ADJOURN_PROJECT", "my shop", "the id of a project"),
        ("ADJOURN_LOCATION", "Europe West", "a region"),
        ("ADJOURN_DATABASE", "(default)", "the id of a database, not set for the default one"),
        ("CLOUDTASKS_EMULATOR_HOST", "http://127.0.0.1:8080", "host:port"),
        ("CLOUDTASKS_EMULATOR_HOST", "localhost", "host:port"),
        ("CLOUDSCHEDULER_EMULATOR_HOST", "localhost", "host:port"),
        ("ADJOURN_JOB_LOCATION", "Europe", "a region"),
        ("ADJOURN_CLEANUP", "yes", "true or false"),
    ],
)
def test_what_google_would_refuse_is_told_at_the_start(name, value, wanted):
    (found,) = mistakes(**{name: value})

    assert found.startswith(f"- {name}={value!r} must be {wanted}")


@pytest.mark.parametrize("email", ["tasks@shop@example", "my tasks@shop.example", "@shop.example"])
def test_an_address_is_one_of_an_account(email):
    assert mistakes(ADJOURN_CALLERS=email) == [
        f"- ADJOURN_CALLERS: {email!r} is not the e-mail address of a service account."
    ]


def test_settings_that_were_made_by_hand_are_checked_too():
    app = App(Settings(**dataclasses.asdict(read()) | {"location": "", "queue": "my_queue"}))

    with pytest.raises(ConfigurationError) as caught:
        app.wiring()

    assert [line[:24] for line in str(caught.value).splitlines()[1:]] == [
        "- ADJOURN_LOCATION is no",
        "- ADJOURN_QUEUE='my_queu",
    ]


def test_an_own_service_has_the_functions_below_its_url():
    own = read(
        ADJOURN_SERVICE_URL="https://shop.example/_adjourn/",
        ADJOURN_DEFERRED_URL="",
        ADJOURN_CRON_URL="",
    )

    assert own.deferred_url == "https://shop.example/_adjourn/deferred"
    assert own.cron_url == "https://shop.example/_adjourn/cron"
    assert own.queryiter_url == "https://queryiter-x.run.app"


def test_tokens_for_an_own_service_are_for_its_origin():
    own = read(ADJOURN_SERVICE_URL="https://shop.example/_adjourn", ADJOURN_DEFERRED_URL="")

    assert own.audience_of(own.deferred_url) == "https://shop.example"
    assert own.audience_of(own.queryiter_url) == own.queryiter_url
    assert own.accepted_audiences(own.deferred_url) == {own.deferred_url, "https://shop.example"}


def test_people_need_another_audience_than_an_own_service():
    (mistake,) = mistakes(
        ADJOURN_SERVICE_URL="https://shop.example/_adjourn",
        ADJOURN_DEFERRED_URL="",
        ADJOURN_PEOPLE_AUDIENCES="https://shop.example",
    )

    assert "people need another one" in mistake


def test_an_own_service_has_a_safe_url():
    (mistake,) = mistakes(ADJOURN_SERVICE_URL="http://shop.example/_adjourn")

    assert "ADJOURN_SERVICE_URL='http://shop.example/_adjourn' must be" in mistake
