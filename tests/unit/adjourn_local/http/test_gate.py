import pytest

from adjourn_local.http.gate import (
    ANY_TYPE,
    API_TYPES,
    RequestHead,
    accepted_by,
    accepting,
    host_name,
    refusal,
)


def head(host="localhost:8711", origin="", site="", content_type=None):
    return RequestHead(host=host, origin=origin, site=site, content_type=content_type)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8711", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:8711", "::1"),
        ("my_host.example", "my_host.example"),
        ("", None),
        ("::1", None),
        ("localhost:", None),
        ("localhost:x", None),
        ("localhost:123456", None),
        ("user@localhost", None),
        ("localhost/", None),
        ("localhost, evil.example", None),
        ("localhost\n", None),
        ("l\N{GREEK SMALL LETTER OMICRON}calhost", None),
    ],
)
def test_a_host_is_read_strictly(authority, name):
    assert host_name(authority) == name


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.2", "0.0.0.0", "127.1", "2130706433"])
def test_other_names_of_loopback_are_refused(host):
    assert refusal(head(host), ()).status == 403


def test_how_to_allow_a_host_is_said():
    assert "`adjourn up --allow-host db.example`" in refusal(head("DB.example:8711"), ()).text
    assert refusal(head("DB.example:8711"), {"db.example"}) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://localhost",
        "http://localhost:8712",
        "https://localhost:8711",
        "http://127.0.0.1:8711",
        "http://localhost:8711, http://localhost:8711",
    ],
)
def test_only_the_very_same_origin_passes(origin):
    assert refusal(head(origin=origin), ()).status == 403
    assert refusal(head(origin="http://localhost:8711"), ()) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none, same-origin", "NONE"])
def test_an_unknown_site_is_a_foreign_one(site):
    assert refusal(head(site=site), ()).status == 403


@pytest.mark.parametrize(
    ("content_type", "passes"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/x-protobuf", True),
        ("", True),
        ("text/plain; application/json", False),
        ("application/json, text/plain", False),
        ("application/x-www-form-urlencoded", False),
    ],
)
def test_a_body_has_a_type_that_a_page_must_ask_for(content_type, passes):
    assert (refusal(head(content_type=content_type), ()) is None) is passes


def test_a_route_can_accept_other_types_but_no_other_callers():
    form = "application/x-www-form-urlencoded"

    @accepting(form)
    def page():
        pass

    accepted = accepted_by(page)
    assert refusal(head(content_type=form), (), accepted) is None
    assert refusal(head(content_type="application/json"), (), accepted).status == 415
    assert refusal(head(content_type=form, site="cross-site"), (), accepted).status == 403
    assert accepted_by(accepting()(lambda: None)) == ANY_TYPE
    assert accepted_by(lambda: None) == API_TYPES
