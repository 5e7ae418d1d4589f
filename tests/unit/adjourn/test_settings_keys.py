"""Keys of the application are refused at once if they are wrong, and are told to nobody."""

import pytest

from adjourn.settings import Seal
from tests.unit.adjourn.test_settings import mistakes, read

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
OTHER = "HxAdHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"


def test_without_a_key_nothing_is_sealed():
    settings = read()

    assert (settings.envelope_key, settings.seal, settings.envelope_required) == ((), "none", False)


def test_a_key_alone_signs():
    settings = read(ADJOURN_ENVELOPE_KEY=f"{KEY}\n")

    assert settings.envelope_key == (KEY,)
    assert settings.seal is Seal.SIGNED


@pytest.mark.parametrize("seal", Seal)
def test_a_seal_can_be_chosen(seal):
    settings = read(ADJOURN_ENVELOPE_KEY=f"{KEY}, {OTHER}=", ADJOURN_ENVELOPE_SEAL=seal)

    assert settings.envelope_key == (KEY, f"{OTHER}=")
    assert settings.seal is seal


@pytest.mark.parametrize(
    "wrong",
    [
        KEY[:-1],
        KEY + "A",
        KEY[:-1] + "9",  # bits that no byte has
        KEY.replace("A", "+"),
        "A" * 43,
        "A" * 42 + "E",
        "correct horse battery staple",
        KEY[:20] + "é" + KEY[21:],
        f"{KEY}==",
    ],
)
def test_a_wrong_key_is_refused_and_not_shown(wrong):
    for keys in (wrong, f"{OTHER},{wrong}"):
        (found,) = mistakes(ADJOURN_ENVELOPE_KEY=keys)

        number = len(keys.split(","))
        assert f"key {number} of {number} must be 32 random bytes in base64url" in found
        assert "make one with: adjourn key" in found
        assert wrong[:5] not in found
        assert OTHER[:5] not in found


@pytest.mark.parametrize("again", [KEY, f"{KEY}="])
def test_a_key_may_come_once(again):
    assert mistakes(ADJOURN_ENVELOPE_KEY=f"{KEY},{again}") == [
        "- ADJOURN_ENVELOPE_KEY: a key comes twice; remove it."
    ]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ADJOURN_ENVELOPE_SEAL": "signed"}, "ADJOURN_ENVELOPE_KEY is not set"),
        ({"ADJOURN_ENVELOPE_REQUIRED": "true"}, "ADJOURN_ENVELOPE_KEY is not set"),
        (
            {"ADJOURN_ENVELOPE_KEY": KEY, "ADJOURN_ENVELOPE_SEAL": "sealed"},
            "'sealed' must be one of none, signed, encrypted",
        ),
        (
            {"ADJOURN_ENVELOPE_KEY": KEY, "ADJOURN_ENVELOPE_REQUIRED": "yes"},
            "ADJOURN_ENVELOPE_REQUIRED='yes' must be true or false",
        ),
        (
            {
                "ADJOURN_ENVELOPE_KEY": KEY,
                "ADJOURN_ENVELOPE_SEAL": "none",
                "ADJOURN_ENVELOPE_REQUIRED": "true",
            },
            "refuses what ADJOURN_ENVELOPE_SEAL=none enqueues",
        ),
    ],
)
def test_what_does_not_go_together_is_told(changes, found):
    (mistake,) = mistakes(**changes)

    assert found in mistake
    assert KEY[:5] not in mistake


def test_a_key_is_not_in_the_text_of_the_settings():
    assert KEY not in repr(read(ADJOURN_ENVELOPE_KEY=KEY))
    assert KEY not in str(read(ADJOURN_ENVELOPE_KEY=KEY))
