"""What mkdocs is asked to do besides: run the examples, list what there is, add the style sheet."""

from __future__ import annotations

import re

from marbles import illustrated, style
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import linked, listed

ELSEWHERE = re.compile(r"""<(?:link|script|img|iframe)\b[^>]*\s(?:href|src)=["']?(?:https?:)?//""")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the style sheet of the pictures."""
    files.append(File.generated(config, "site/marbles.css", content=style()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write what is made of the code, into the pages of operators and of the reference."""
    folder, _, _ = page.file.src_uri.rpartition("/")
    if folder == "operators":
        return listed(linked(illustrated(markdown, page.file.src_uri)))
    return listed(markdown) if folder == "reference" else markdown


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that would load something from elsewhere."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}...")
    return output
