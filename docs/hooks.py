"""What mkdocs builds besides the pages of this folder, and where links lead. Every text of the site stands once.

READMEs and other files that live beside what they describe become pages (`MOUNTED`); the catalogue of methods, the
commands and the API are made from the code; a source file to which a page links becomes a page that shows it. A link to
a folder is words alone.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import catalogue
import pictures
import reference
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
MOUNTED = {
    "index.md": "README.md",
    "examples.md": "examples/README.md",
    "families.md": "adapters/vtc_llava/README.md",
    "embedded.md": "adapters/vtc_tiny/README.md",
    "compare.md": "adapters/vtc_lmms/README.md",
    "write-a-method.md": "vtc_core/methods/README.md",
    "write-a-stage.md": "vtc_core/stages/README.md",
    "write-a-backend.md": "conformance/README.md",
    "results.md": "benchmarks/RESULTS.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}

LISTS = {"<!-- methods -->": catalogue.methods, "<!-- stages -->": catalogue.stages}
SHOWN = re.compile(r"<!-- source (\S+) -->")  # the whole of a file, from the root; no fence for ruff to format
FENCED = re.compile(r"(^ *```.*?^ *```\s*?$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\[\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")  # words, path, anchor


def on_files(files: Files, config: Any) -> Files:
    generated = partial(File.generated, config)
    for page, source in MOUNTED.items():
        files.append(generated(page, abs_src_path=str(ROOT / source)))
    for page, text in reference.pages(ROOT).items():
        files.append(generated(page, content=text))
    for name, png in pictures.all_methods():
        files.append(generated(f"pictures/{name}.png", content=png))
    known = _by_source(files)
    for source in sorted(set(_linked(files)) - set(known)):
        name = f"source/{source.relative_to(ROOT)}"
        page = f"{name}.md" if source.suffix == ".py" else name  # a page, or a file to be had
        files.append(generated(page, abs_src_path=str(source)))
    return files


def on_page_read_source(page: Any, config: Any) -> str | None:
    """Source files are shown as they are, and left out of the search."""
    if not page.file.src_uri.startswith("source/"):
        return None
    source = Path(page.file.abs_src_path)
    head = f"---\nsearch: {{exclude: true}}\n---\n\n# {source.relative_to(ROOT)}"
    return f"{head}\n\n{_code(source)}\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lists of the catalogue and whole files in their places, links between files as links between pages.

    A link that leads nowhere is left to mkdocs, which refuses it.
    """
    if page.file.abs_src_path is None or page.file.src_uri.startswith("source/"):
        return markdown
    here, known = Path(page.file.abs_src_path).parent, _by_source(files)

    def moved(link: re.Match[str]) -> str:
        words, path, anchor = link.groups("")
        source = (here / path).resolve()
        if source in known:
            return f"[{words}]({'../' * page.file.src_uri.count('/')}{known[source].src_uri}{anchor})"
        return words if source.is_dir() else link[0]

    text = "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in FENCED.split(markdown))
    for mark, listed in LISTS.items():
        text = text.replace(mark, listed()) if mark in text else text
    return SHOWN.sub(lambda shown: _code(ROOT / shown[1]), text)


def _code(source: Path) -> str:
    return f"`````python\n{source.read_text()}\n`````"


def _by_source(files: Files) -> dict[Path, File]:
    known = {Path(file.abs_src_path).resolve(): file for file in files if file.abs_src_path}
    return known | {path.parent: file for path, file in known.items() if path.name == "README.md"}


def _linked(files: Files) -> Iterator[Path]:
    """The files outside this folder to which pages link."""
    for file in files.documentation_pages():
        if file.abs_src_path is not None:
            source = Path(file.abs_src_path)
            for part in FENCED.split(source.read_text()):
                for link in () if part.startswith("```") else LINK.findall(part):
                    path = (source.parent / link[1]).resolve()
                    if path.is_file() and path.is_relative_to(ROOT):
                        yield path
