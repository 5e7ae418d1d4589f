"""Text for a terminal: what is not ours cannot steer it."""

import sys
import unicodedata

_KEPT = {
    "\n",
    "\t",
    # Persian, Indian scripts and emoji need them.
    "\N{ZERO WIDTH NON-JOINER}",
    "\N{ZERO WIDTH JOINER}",
}


def visible(text: object) -> str:
    """Return a text with its control characters made visible, as Python writes them.

    These are escape sequences, carriage returns, backspaces, the controls from U+0080 on, marks
    that change the direction of writing, and whatever else has no picture. Line ends and tabs stay.
    """
    return "".join(c if _is_harmless(c) else ascii(c)[1:-1] for c in f"{text}")


def complain(text: object) -> None:
    """Print an error or a warning of the command line."""
    sys.stderr.write(f"adjourn: {visible(text)}\n")


def _is_harmless(character: str) -> bool:
    # Python does not call spaces printable that are not ASCII.
    is_space = unicodedata.category(character) == "Zs"
    return character.isprintable() or character in _KEPT or is_space
