"""
What a cell's code says it does: extraction only, pure; the rules judge.

IPython's own transformer turns magics and `!` into Python, Python's parser reads that, and constants and
names are worked out without running anything. The kernel's user can always write code that cannot be read
(docs/detections.md, "What reading cannot see"); code that hides what it runs is noted in `obfuscated`.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager

from jupyter_audit.detect.fold import MOST_TEXT
from jupyter_audit.detect.names import MOST_BINDINGS, Bindings, Names, canonical
from jupyter_audit.detect.paths import like_a_path
from jupyter_audit.detect.sql import SqlFacts, looks_like_sql, read_sql, search_sql
from jupyter_audit.detect.visitor import Visitor
from jupyter_audit.detect.vocabulary import (
    CODE_MAGICS,
    LOADER_MAGICS,
    SHELL_ALIASES,
    SHELL_MAGICS,
    SQL_MAGICS,
    TOO_DEEP,
    TOO_LONG,
    TOO_MANY,
)

MOST_CODE = 100_000
"""Characters of one cell that are parsed (about 0.1 s of work); more is searched for patterns."""

MOST_TRANSFORMING = 200_000
"""Magics in a cell times its characters, up to which IPython transforms it (about half a second)."""

MOST_SQL_READ = 100_000
"""Characters of SQL that are read of one message; a statement counts as `LEAST_SQL` at least."""

LEAST_SQL = 100

MOST_ITEMS = 500
MOST_NESTING = 4

_DOTTED = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)+")
_ESCAPE_LINE = re.compile(r"(?m)^[ \t]*+(?:[\w,][\w, ]*+=[ \t]*+)?(!{1,2}|%%?)[ \t]*+([\w!]*)")
_OPTIONS = re.compile(r"^(?:\s*+-{1,2}\w++(?:[= ]\d++)?(?=\s))*+\s*+")

_MADE_TEMPORARY = re.compile(r"(?i)\bcreate\s+(?:local\s+|global\s+)?temp(?:orary)?\s+table\s+(?:if\s+not\s+exists\s+)?([\w.]+)")

_CONNECTION = re.compile(r"^\s*\S+://\S+|^\s*--\w+\s+\S+")

_ESCAPES = re.compile(r"(?m)^[ \t]*+[!%?/,;]|\?[ \t]*+$|=[ \t]*+[!%]")
_SHELL_LINE = re.compile(r"(?m)^([ \t]*)(!{1,2})(.*)$")
_MAGIC_LINE = re.compile(r"(?m)^([ \t]*)%{1,2}(\w+)[ \t]*(.*)$")

_TRANSFORMER = TransformerManager()
_CELL = "<audited cell>"
# Python and IPython warn about other people's code on the server's standard error. That is not for us to say.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=re.escape(_CELL))
warnings.filterwarnings("ignore", message="`make_tokens_by_line` received", category=UserWarning)


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """
    What one message's code says. All tuples are sorted and bounded.

    `uses`: dotted names that are called, imported or passed on, with aliases worked out. `magics`: IPython
    magics, `!` as `!`. `programs`: first words of shell commands. `sql_writes`: verb and table, as
    `DELETE:orders`. `sql_unlimited`: tables read without WHERE, LIMIT or aggregate. `obfuscated`: how code
    hides what it runs. `paths`: texts and joined parts that may name a file. `read_as`: `python`, `ipython`, or
    `text` where only patterns could be searched.
    `bindings`: names that later cells of the session can use.
    """

    uses: tuple[str, ...] = ()
    magics: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    sql_verbs: tuple[str, ...] = ()
    sql_tables: tuple[str, ...] = ()
    sql_writes: tuple[str, ...] = ()
    sql_unlimited: tuple[str, ...] = ()
    obfuscated: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    read_as: str = "python"
    bindings: Bindings = field(default_factory=dict)


def extract(sources: Iterable[str], known: Bindings | None = None) -> CodeFacts:
    """
    Return what the pieces of code in `sources` say. Never raises, whatever the text.

    `known` are the bindings of the session's earlier cells.
    """
    reading = Reading(Names(known or {}))
    for source in sources:
        reading.read(source)
    return reading.facts()


class Reading:
    """Gathers the facts of one message."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.uses: set[str] = set()
        self.magics: set[str] = set()
        self.programs: set[str] = set()
        self.verbs: set[str] = set()
        self.tables: set[str] = set()
        self.writes: set[str] = set()
        self.unlimited: set[str] = set()
        self.obfuscated: set[str] = set()
        self.paths: set[str] = set()
        self.temporary: frozenset[str] = frozenset()
        self.read_as = "python"
        self.nesting = 0
        # What is known of a node is kept by its identity, so the trees live as long as that.
        self.trees: list[ast.Module] = []
        self.sql_read: set[tuple[str, bool]] = set()
        self.sql_left = MOST_SQL_READ

    def facts(self) -> CodeFacts:
        if max(map(len, (self.uses, self.magics, self.programs, self.tables, self.writes, self.paths))) > MOST_ITEMS:
            self.obfuscated.add(TOO_MANY)
        return CodeFacts(
            uses=_sorted(self.uses),
            magics=_sorted(self.magics),
            programs=_sorted(self.programs),
            sql_verbs=_sorted(self.verbs),
            sql_tables=_sorted(self.tables),
            sql_writes=_sorted(self.writes),
            sql_unlimited=_sorted(self.unlimited),
            obfuscated=_sorted(self.obfuscated | ({"computed name"} if self.names.computed else set())),
            paths=_sorted(self.paths),
            read_as=self.read_as,
            bindings=dict(list(self.names.new.items())[:MOST_BINDINGS]),
        )

    # --- code -------------------------------------------------------------------------------------

    def read(self, source: str) -> None:
        """Read one piece of code: as Python, else as IPython, else as text."""
        if self.nesting >= MOST_NESTING:
            self.obfuscated.add(TOO_DEEP)
            return
        self.nesting += 1
        try:
            self._automagic(source)
            tree = self._parse(source)
            if tree is None:
                self.read_as = "text"
                self._search(source)
            else:
                self.trees.append(tree)
                self._visit(tree, source)
        finally:
            self.nesting -= 1

    def _parse(self, source: str) -> ast.Module | None:
        if len(source) > MOST_CODE:
            # Padding must not be a way out: comment lines are dropped before giving up.
            source = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#"))
            if len(source) > MOST_CODE:
                self.obfuscated.add(TOO_LONG)
                return None
        tree = _parsed(source)
        if tree is not None:
            return tree
        tree = _parsed(_transformed(source))
        if tree is not None and self.read_as == "python":
            self.read_as = "ipython"
        return tree

    def _visit(self, tree: ast.Module, source: str) -> None:
        try:
            Visitor(self).read(tree)
        except RecursionError:
            self.obfuscated.add(TOO_DEEP)
            self.read_as = "text"
            self._search(source)

    def _search(self, source: str) -> None:
        """Read by patterns what does not parse: other languages, text too long, code too deep."""
        for match in _ESCAPE_LINE.finditer(source):
            self.magics.add("!" if match.group(1).startswith("!") else match.group(2).lower()[:40])
        for match in _DOTTED.finditer(source):
            dotted = re.sub(r"\s", "", match.group())
            start, _, rest = dotted.partition(".")
            for name in self.names.bound.get(start) or (start,):
                self.use(f"{name}.{rest}")
        self.take(search_sql(source))

    def _automagic(self, source: str) -> None:
        """IPython runs `ls -l` alone in a cell as a magic or shell alias, without any sign."""
        lines = source.strip().splitlines()
        if len(lines) != 1:
            return
        word = re.match(r"[\w]+(?=\s+[^\s=(.,\[]|$)", lines[0])
        if word and word.group() in SHELL_ALIASES and word.group() not in self.names.bound:
            self.magic(word.group(), lines[0][word.end() :], None)

    # --- what the visitor finds ---------------------------------------------------------------------

    def use(self, name: str) -> None:
        """Note that a dotted name is used."""
        if len(self.uses) < 10 * MOST_ITEMS:
            self.uses.add(re.sub(r"[^\w.\[\]()*?]", "", canonical(name))[:120])

    def path(self, text: str) -> None:
        """Note a text that may name a file."""
        if (path := like_a_path(text)) and len(self.paths) < 10 * MOST_ITEMS:
            self.paths.add(path)

    def magic(self, name: str, line: str, body: str | None) -> None:
        """Read a magic by what it does with its line and body."""
        name = name.lower().lstrip("%")[:40]
        self.magics.add(re.sub(r"[^\w!]", "", name))
        whole = line if body is None else f"{line}\n{body}"
        if name in SHELL_MAGICS or name in SHELL_ALIASES:
            self.shell(whole)
        elif name in CODE_MAGICS:
            rest = _OPTIONS.sub("", line)
            for piece in (rest, body or ""):
                if piece.strip():
                    self.read(piece)
        elif name in SQL_MAGICS:
            statement = body if body is not None and body.strip() else re.sub(r"^\s*\S+://\S+|^\s*--\w+\s+\S+", "", line)
            self.sql(statement)
        elif name in LOADER_MAGICS and line.strip():
            self.use(line.split()[0])

    def shell(self, command: str) -> None:
        """Read a shell command: the programs it names, and SQL that it hands to one of them."""
        for part in re.split(r"[|;&\n]+|\$\(|`", command)[:MOST_ITEMS]:
            words = [word for word in part.split() if "=" not in word.split("/")[0]]
            while words and words[0] in ("sudo", "env", "nohup", "time", "exec", "command", "xargs"):
                words = words[1:]
            if words:
                program = re.sub(r"[^\w.+-]", "", words[0].rpartition("/")[2])[:40]
                if program:
                    self.programs.add(program)
        self.take(search_sql(command))
        try:
            words = shlex.split(command[:MOST_TEXT])
        except ValueError:
            return
        for word in words:
            self.path(word)
            if looks_like_sql(word):
                self.sql(word)

    def run_text(self, text: str | None, how: str) -> None:
        """Read a text that the code hands to exec and its like; None if it cannot be known."""
        if text is None:
            self.obfuscated.add(how)
        else:
            self.read(text)

    def sql(self, text: str, *, bounded: bool = False) -> None:
        """Read a SQL text, each once."""
        if (text, bounded) in self.sql_read:
            return
        if len(text) > self.sql_left:
            self.obfuscated.add(TOO_LONG)
            return
        self.sql_read.add((text, bounded))
        self.sql_left -= max(len(text), LEAST_SQL)
        self.temporary |= frozenset(_MADE_TEMPORARY.findall(text))
        self.take(read_sql(text, self.temporary, bounded=bounded))

    def take(self, found: SqlFacts) -> None:
        """Note what a SQL text does."""
        self.verbs |= found.verbs
        self.tables |= found.tables
        self.writes |= {f"{verb}:{table}" for verb, table in found.writes}
        self.unlimited |= found.unlimited


def _transformed(source: str) -> str:
    """Return the Python that IPython makes of a cell, or the cell as it is where it makes none."""
    if len(_ESCAPES.findall(source)) * len(source) > MOST_TRANSFORMING:
        # IPython reads the whole cell again for each magic in it. What it would make of plain lines is clear.
        return _MAGIC_LINE.sub(_called, _SHELL_LINE.sub(_called, source))
    try:
        return str(_TRANSFORMER.transform_cell(source))
    except Exception:  # IPython's transformers are many and raise what they like on text that is not code
        return source


def _called(line: re.Match[str]) -> str:
    """Return the call that a line with a magic or a shell command stands for."""
    indent, start, rest = line.groups()
    if start.startswith("!"):
        return f"{indent}get_ipython().system({rest!r})"
    return f"{indent}get_ipython().run_line_magic({start!r}, {rest!r})"


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source, _CELL)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _sorted(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(item for item in items if item)[:MOST_ITEMS])
