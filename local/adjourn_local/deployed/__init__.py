"""Where the code that is deployed lies: the functions, the library and the pinned requirements.

In a checkout, functions and requirements are at its top. An installed package has copies of them in
this folder, where `local/hatch_build.py` puts them.
"""

from pathlib import Path

import adjourn

_COPIES = Path(__file__).resolve().parent
_IS_INSTALLED = (_COPIES / "deferred").is_dir()
_CHECKOUT = _COPIES.parents[2]
_FUNCTIONS = _COPIES if _IS_INSTALLED else _CHECKOUT / "functions"

LIBRARY = Path(adjourn.__file__).parent
REQUIREMENTS = (_COPIES if _IS_INSTALLED else _CHECKOUT) / "requirements.txt"


def main_file(function: str) -> Path:
    """Return the `main.py` of a function."""
    return _FUNCTIONS / function / "main.py"
