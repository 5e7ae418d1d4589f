import pytest

from adjourn_local.terminal import complain, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # an escape sequence of one character
        ("progress\rdone", r"progress\rdone"),
        ("secret\b\b\b\b\b\b", r"secret" + r"\x08" * 6),
        ("\0\x7f\v\f", r"\x00\x7f\x0b\x0c"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c"),
        ("one\u2028two\u2029three\x85", r"one\u2028two\u2029three\x85"),
        ("\udc80", r"\udc80"),  # from a file name that is no UTF-8
        ("\ufeff\u00ad\U000e0041", r"\ufeff\xad\U000e0041"),
    ],
)
def test_what_would_steer_a_terminal_is_shown(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    ["one\n\ttwo", "Größe", "日本語", "\u3000", "5\u00a0€", "👩\u200d🚀", "क\u200dष", "क\u200cष"],
)
def test_writing_of_all_kinds_stays(text):
    assert visible(text) == text


def test_anything_can_be_shown(capsys):
    complain(ValueError("\x1b[1m"))

    assert capsys.readouterr().err == "adjourn: \\x1b[1m\n"
