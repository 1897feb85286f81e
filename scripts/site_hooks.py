"""MkDocs hooks: add files outside of ``docs/`` to the site, and rewrite links to them.

Links in Markdown files are relative to their place in the repository, so that they also work where it is browsed.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "benchmarks/RESULTS.md": "benchmarks.md"}
"""Path in the site of each page outside of ``docs/``, by its path in the repository."""
ASSETS = ("examples/**/*", "LICENSE")
"""Further files that pages link to."""
LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files outside of ``docs/``."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text()))
    for pattern in ASSETS:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite relative links from places in the repository to places in the site."""
    place = page.file.src_uri
    source = {target: source for source, target in PAGES.items()}.get(place, f"docs/{place}")

    def rewrite(match: re.Match[str]) -> str:
        link = match[2]
        if ":" in link or link.startswith("/"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        target = PAGES.get(path, path.removeprefix("docs/"))
        return match[1] + posixpath.relpath(target, posixpath.dirname(place) or ".")

    return LINK.sub(rewrite, markdown)
