"""
Walks the syntax tree of one piece of code and tells a `Reading` what it finds. Pure.

Statements are visited in order, so that a name means what the lines above gave it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from jupyter_audit.detect.fold import HOLE, MOST_TEXT
from jupyter_audit.detect.paths import joined
from jupyter_audit.detect.sql import harmless, looks_like_sql, search_sql
from jupyter_audit.detect.vocabulary import (
    CODE_LOADERS,
    CODE_RUNNERS,
    COMPUTED_MAGIC,
    PROCESS_STARTERS,
    READS_A_TABLE,
    RUNS_SQL,
    SAYS_ONLY,
    SHELL_ALIASES,
    TAKES_FEW,
)

if TYPE_CHECKING:
    from jupyter_audit.detect.facts import Reading


class Visitor(ast.NodeVisitor):
    """Visits one tree."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names = reading.names
        self._folder = reading.names.folder
        self._bounded: set[int] = set()
        self._read: set[int] = set()
        self._grown: set[str] = set()
        self._like_sql: dict[str, bool] = {}

    def read(self, tree: ast.Module) -> None:
        """Visit the whole tree."""
        self.visit(tree)
        for name in self._grown:
            grown = self._folder.constants.get(name)
            if isinstance(grown, str):
                self._text(grown)

    # --- bindings ---------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        self._names.bind_import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for dotted in self._names.bind_import(node):
            # What is taken out of a module here can be called in a later cell by its bare name.
            self._reading.use(dotted)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._assign(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if not isinstance(node.target, ast.Name) or not isinstance(node.op, ast.Add):
            return
        before, added = self._folder.constants.get(node.target.id), self._folder.text(node.value)
        if isinstance(before, str) and len(before) < MOST_TEXT:
            whole = before + (added if added is not None else HOLE)
            self._folder.constants[node.target.id] = whole
            self._grown.add(node.target.id)  # read when it is used, or whole at the end

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._assign(one, its)
            return
        if not isinstance(target, ast.Name):
            self.visit(target)
            return
        if target.id in SHELL_ALIASES:
            self._names.bind_value(target.id)  # IPython's automagic gives way to variables
        folded = self._folder.fold(value)
        if folded is not None:
            self._folder.constants[target.id] = folded
            return
        self._folder.constants.pop(target.id, None)
        self._names.bind(target.id, [name for name in self._names.resolve(value) if _stands_for_something(name)])

    # --- expressions ------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring, or a text that stands alone: it does nothing
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        if isinstance(node.exc, ast.Call):
            self._read.update(id(argument) for argument in node.exc.args)
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            for name in self._names.resolve(node):
                if "." in name or name in CODE_RUNNERS:
                    self._reading.use(name)  # `map(exec, texts)` calls it too

    def visit_Attribute(self, node: ast.Attribute) -> None:
        for name in self._names.resolve(node):
            self._reading.use(name)
        self._inner(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        self._expression(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._expression(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._path(node)
        self._expression(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        for name in self._names.resolve(node):
            if "." in name and "[]" not in name:
                self._reading.use(name)
        self._expression(node)

    def visit_Call(self, node: ast.Call) -> None:
        names = self._names.resolve(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else names[0].rpartition(".")[2]
        if isinstance(node.func, ast.Attribute) and method in TAKES_FEW:
            self._bounded.add(id(node.func.value))
        for name in names:
            self._reading.use(name)
            self._known_call(name, node)
        for name in self._names.resolve(node):
            if "(" not in name:
                self._reading.use(name)  # getattr(os, "system") stands for os.system
        if names[0] == "next" and node.args:
            self._bounded.add(id(node.args[0]))
        if self._says_only(names):
            self._read.update(id(argument) for argument in node.args)
        elif method in RUNS_SQL:
            self._sql_call(node, method)
        elif method in READS_A_TABLE:
            self._table_call(node)
        self._path(node)
        self._expression(node)

    def _expression(self, node: ast.expr) -> None:
        """Read the text that an expression makes as one, and its parts only for what they do."""
        text = None if id(node) in self._read else self._folder.text(node)
        if text is not None:
            self._text(text)
            self._read.update(id(part) for part in ast.walk(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self._read:
            self._reading.take(search_sql(node.value))  # too long to be folded
        self.generic_visit(node)

    def _inner(self, node: ast.expr) -> None:
        """Go on below an attribute, whose own name was told whole."""
        if isinstance(node, ast.Attribute):
            self._inner(node.value)
        elif not isinstance(node, ast.Name):
            self.visit(node)

    # --- what is found ------------------------------------------------------------------------------

    def _path(self, node: ast.expr) -> None:
        path = joined(node, self._folder.text, self._names.resolve)
        if path is not None:
            self._reading.path(path)

    def _text(self, text: str) -> None:
        self._reading.path(text)
        if self._is_sql(text):
            self._reading.sql(text)

    def _is_sql(self, text: str) -> bool:
        known = self._like_sql.get(text)
        if known is None:
            known = self._like_sql[text] = looks_like_sql(text)
        return known

    def _says_only(self, names: tuple[str, ...]) -> bool:
        return all(name in SAYS_ONLY or name.endswith(("Error", "Exception", "Warning")) or _logs(name) for name in names)

    def _sql_call(self, node: ast.Call, method: str) -> None:
        if not node.args:
            return
        first = node.args[0]
        text = self._folder.text(first)
        if text is None:
            return
        if method in READS_A_TABLE and text.isidentifier():
            self._table_call(node)
        elif self._is_sql(text):
            self._reading.sql(text, bounded=id(node) in self._bounded)
        self._read.update(id(part) for part in ast.walk(first))

    def _table_call(self, node: ast.Call) -> None:
        name = self._folder.text(node.args[0]) if node.args else None
        if name:
            self._reading.unlimited.add(harmless(name.replace(HOLE, "hole__")))

    def _known_call(self, name: str, node: ast.Call) -> None:
        reading = self._reading
        texts = [self._folder.text(argument) for argument in node.args]
        first = texts[0] if texts else None
        if name in CODE_RUNNERS and node.args:
            reading.run_text(self._code(node.args[0]), name.rpartition(".")[2])
        elif name.startswith(CODE_LOADERS):
            reading.obfuscated.add(".".join(name.split(".")[:2]))
        elif name in ("get_ipython.run_line_magic", "get_ipython.run_cell_magic"):
            if first is None:
                reading.obfuscated.add(COMPUTED_MAGIC)
            else:
                body = texts[2] if len(texts) > 2 else None
                reading.magic(first, (texts[1] if len(texts) > 1 else None) or "", body)
        elif name == "get_ipython.magic":
            magic, _, line = (first or "").partition(" ")
            reading.magic(magic, line, None)
        if name.startswith(PROCESS_STARTERS) and node.args:
            if name in ("get_ipython.system", "get_ipython.getoutput"):
                reading.magics.add("!")
            reading.shell(self._command(node.args[0]))

    def _code(self, node: ast.expr) -> str | None:
        """The code that is handed to exec, through a `compile` around it."""
        if isinstance(node, ast.Call) and node.args and any(n.endswith("compile") for n in self._names.resolve(node.func)):
            return self._folder.whole_text(node.args[0])
        return self._folder.whole_text(node)

    def _command(self, node: ast.expr) -> str:
        folded = self._folder.fold(node)
        if isinstance(folded, list):
            words = [word if isinstance(word, str) else "" for word in folded]
            return " ".join(f"'{word}'" if " " in word and "'" not in word else word for word in words)
        return self._folder.text(node) or ""


def _stands_for_something(name: str) -> bool:
    """Whether an alias is worth keeping: a module's member or a module, not the result of some call."""
    return "?" not in name and "(" not in name and "[" not in name


def _logs(name: str) -> bool:
    start, _, method = name.rpartition(".")
    return "log" in start.lower() and method in {
        "debug",
        "info",
        "warning",
        "warn",
        "error",
        "critical",
        "exception",
        "log",
    }
