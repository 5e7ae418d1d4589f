"""The documentation as a site: what `make docs` cannot see by itself."""

import re
from pathlib import Path

import adjourn
import adjourn.testing
from adjourn import errors

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def described() -> set[str]:
    texts = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    return set(re.findall(r"^::: adjourn\.(\w+)", "\n".join(texts), re.MULTILINE))


def test_the_reference_has_every_public_name() -> None:
    public = {name for name in adjourn.__all__ if not hasattr(errors, name)}

    assert described() - {"errors", "testing", "viur"} >= public
