"""Reading the documentation: its pages, the code in them, and the marks before the code.

A mark is a comment in the line before a code block:

    example: FILE   the block is a file of examples/, word for word
    output: FILE    the block is what that example prints
    compile         the block is compiled and not run, as it needs what is not there
    node: NAME      the block is run with Node.js by tests/interop, and compared with
    toril: NAME     the block that does the same with Toril
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]+?) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def example(self) -> str | None:
        return self._marked("example")

    @property
    def output(self) -> str | None:
        return self._marked("output")

    def _marked(self, kind: str) -> str | None:
        found, _, file = self.mark.partition(": ")
        return file if found == kind else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    return (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    text = page.read_text(encoding="utf-8")
    return tuple(
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["mark"] or "",
            found["text"],
        )
        for found in _FENCE.finditer(text)
    )


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def compiled(block: Block) -> CodeType:
    """Return a block of Python, which may await where it stands."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(block.text, str(block), "exec", flags, dont_inherit=True)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))
