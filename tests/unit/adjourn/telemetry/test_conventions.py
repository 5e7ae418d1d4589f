"""The names are those of OpenTelemetry's semantic conventions."""

from opentelemetry.semconv._incubating.attributes import faas_attributes, messaging_attributes
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import error_attributes, exception_attributes

from adjourn import Snooze
from adjourn.telemetry import conventions
from adjourn.telemetry.instruments import Instruments

THEIRS = {
    "SYSTEM": messaging_attributes.MESSAGING_SYSTEM,
    "OPERATION_NAME": messaging_attributes.MESSAGING_OPERATION_NAME,
    "OPERATION_TYPE": messaging_attributes.MESSAGING_OPERATION_TYPE,
    "DESTINATION": messaging_attributes.MESSAGING_DESTINATION_NAME,
    "MESSAGE_ID": messaging_attributes.MESSAGING_MESSAGE_ID,
    "BATCH_COUNT": messaging_attributes.MESSAGING_BATCH_MESSAGE_COUNT,
    "ERROR_TYPE": error_attributes.ERROR_TYPE,
    "FAAS_TRIGGER": faas_attributes.FAAS_TRIGGER,
    "FAAS_TIME": faas_attributes.FAAS_TIME,
    "EXCEPTION_TYPE": exception_attributes.EXCEPTION_TYPE,
    "EXCEPTION_MESSAGE": exception_attributes.EXCEPTION_MESSAGE,
    "EXCEPTION_STACKTRACE": exception_attributes.EXCEPTION_STACKTRACE,
}


def ours():
    return {name: value for name, value in vars(conventions).items() if name.isupper()}


def test_names_are_those_of_the_conventions():
    assert {name: ours()[name] for name in THEIRS} == THEIRS


def test_other_names_are_in_our_namespace_or_that_of_the_system():
    others = {value for name, value in ours().items() if name not in {*THEIRS, "EXCEPTION"}}

    assert all(
        each.startswith(("adjourn.", f"messaging.{conventions.CLOUD_TASKS}.", "gcp_cloud_"))
        for each in others
    ), others


def test_metrics_have_the_names_of_the_conventions():
    names = {each.name for each in vars(Instruments()).values() if hasattr(each, "name")}
    names |= {each._name for each in vars(Instruments()).values() if hasattr(each, "_name")}

    assert names >= {
        messaging_metrics.MESSAGING_CLIENT_SENT_MESSAGES,
        messaging_metrics.MESSAGING_CLIENT_OPERATION_DURATION,
        messaging_metrics.MESSAGING_CLIENT_CONSUMED_MESSAGES,
        messaging_metrics.MESSAGING_PROCESS_DURATION,
    }
    assert all(each.startswith(("messaging.", "adjourn.")) for each in names)


def test_an_error_has_the_name_of_its_class():
    assert conventions.error_type(ValueError()) == "ValueError"
    assert conventions.error_type(Snooze(1)) == "adjourn.errors.Snooze"
