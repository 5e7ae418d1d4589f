"""Pages that live outside docs, and links that leave it.

`CHANGELOG.md`, `CONTRIBUTING.md` and `terraform/README.md` are pages of the site, too. A link to
any other file of the repository is shown as its path: where the repository is published is for its
owner to say, with `repo_url`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "terraform/README.md": "terraform.md",
}
GENERATED = {"changelog.md", "contributing.md", "terraform.md"}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that live outside docs."""
    for source, page in ELSEWHERE.items():
        if page in GENERATED:
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links to files of the repository links of the site."""
    name = page.file.src_uri
    source = next((path for path, to in ELSEWHERE.items() if to == name and to in GENERATED), None)
    folder = posixpath.dirname(source if source is not None else f"docs/{name}")

    def turn(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if not (ROOT / path).exists():
            return match[0]  # the build reports it
        to = ELSEWHERE.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if to is not None and files.get_file_from_path(to) is not None:
            return f"[{text}]({posixpath.relpath(to, posixpath.dirname(name) or '.')}{anchor})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        return f"{text} (`{path}`)" if path not in text else f"`{path}`"

    return LINK.sub(turn, markdown)
