"""Which variables keep connections to this machine away from a proxy."""

import pytest

from adjourn_local.proxies import direct

HERE = "127.0.0.1,::1,localhost"


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy"])
def test_this_machine_is_exempted_where_there_is_a_proxy(name):
    assert direct({name: "http://proxy:3128"}) == {"no_proxy": HERE, "NO_PROXY": HERE}


def test_nothing_is_set_without_a_proxy():
    assert direct({"NO_PROXY": "corp"}) == {}


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_is_exempted_already_stays_so(name):
    found = direct({"http_proxy": "x", name: " corp , localhost"})

    assert found == dict.fromkeys(("no_proxy", "NO_PROXY"), "corp,localhost,127.0.0.1,::1")


def test_the_variable_that_grpc_prefers_is_followed():
    found = direct({"http_proxy": "x", "no_grpc_proxy": "corp"})

    assert found["no_grpc_proxy"] == f"corp,{HERE}"


def test_all_is_all():
    assert set(direct({"http_proxy": "x", "no_proxy": "*"}).values()) == {"*"}


def test_doing_it_again_changes_nothing():
    once = direct({"http_proxy": "x"})

    assert direct({"http_proxy": "x", **once}) == once
