"""
Which dotted name an expression stands for: after `import subprocess as sp`, `sp.run` is `subprocess.run`.

Pure. Follows imports, simple assignments, `getattr` and `__import__` with constant names, `sys.modules[...]`
and the like, in the cell and, through `known`, in the cells of the session before it. What only the running
program knows stays unknown; asking for it with a computed name is noted in `computed`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from jupyter_audit.detect.fold import MOST_DEPTH, Folder

Bindings = Mapping[str, tuple[str, ...]]

MOST_CANDIDATES = 4
MOST_NAME = 120
MOST_BINDINGS = 1000

_CANONICAL = {
    "IPython.get_ipython": "get_ipython",
    "IPython.core.getipython.get_ipython": "get_ipython",
    "builtins": "__builtins__",
    "posix": "os",
    "nt": "os",
}
_IMPORTERS = frozenset({"__import__", "importlib.import_module", "importlib.__import__", "pydoc.locate", "pkgutil.resolve_name"})
_NAMESPACES = frozenset({"globals", "locals", "vars"})
# Getting at these with a name that is computed hides which of their functions is used.
_SENSITIVE = frozenset({"os", "subprocess", "__builtins__", "pty", "ctypes", "get_ipython", "shutil", "importlib", "asyncio"})


class Names:
    """The names of one piece of code. `known` are bindings from earlier cells of the session."""

    def __init__(self, known: Bindings) -> None:
        self.bound: dict[str, tuple[str, ...]] = dict(known)
        self.new: dict[str, tuple[str, ...]] = {}
        self.stars: list[str] = []
        self.computed = False
        self.folder = Folder(self.resolve)
        self._depth = 0
        self._resolved: dict[int, tuple[str, ...]] = {}

    def bind(self, name: str, dotted: Sequence[str]) -> None:
        """Let `name` stand for each of `dotted`, besides what it may stand for already."""
        dotted = tuple(dict.fromkeys(text for text in dotted if text and len(text) <= MOST_NAME))
        if not dotted or dotted == (name,):
            return
        earlier = self.new.get(name, ())
        self.new[name] = (*dotted, *(text for text in earlier if text not in dotted))[:MOST_CANDIDATES]
        self.bound[name] = self.new[name]

    def bind_value(self, name: str) -> None:
        """Let `name` be a variable of which nothing is known but that it is one."""
        self.new.setdefault(name, ())
        self.bound.setdefault(name, ())

    def bind_import(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Bind what an import statement names; return the dotted names of what was imported."""
        found: list[str] = []
        for alias in node.names:
            if isinstance(node, ast.Import):
                found.append(canonical(alias.name))
                if alias.asname:
                    self.bind(alias.asname, [canonical(alias.name)])
                else:
                    root = alias.name.partition(".")[0]
                    self.bind(root, [canonical(root)])
                continue
            module = node.module or ""
            if alias.name == "*":
                self.stars.append(canonical(module))
                found.append(canonical(module) + ".__all__")
                continue
            dotted = canonical(f"{module}.{alias.name}")
            found.append(dotted)
            self.bind(alias.asname or alias.name, [dotted])
        return found

    def resolve(self, node: ast.expr) -> tuple[str, ...]:
        """Return the dotted names that `node` may stand for; `?` where nothing is known of its start."""
        known = self._resolved.get(id(node))
        if known is not None:
            return known
        if self._depth > MOST_DEPTH:
            return ("?",)
        self._depth += 1
        try:
            names = tuple(dict.fromkeys(canonical(name)[:MOST_NAME] for name in self._resolve(node)))[:MOST_CANDIDATES]
        finally:
            self._depth -= 1
        self._resolved[id(node)] = names
        return names

    def _resolve(self, node: ast.expr) -> Sequence[str]:
        match node:
            case ast.Name(id=name):
                if self.bound.get(name):
                    return self.bound[name]
                return [name, *(f"{module}.{name}" for module in self.stars)]
            case ast.Attribute(value=value, attr=attribute):
                if attribute == "__dict__":
                    return self.resolve(value)
                return [f"{start}.{attribute}" for start in self.resolve(value)]
            case ast.Subscript(value=value, slice=index):
                return self._item(value, index)
            case ast.NamedExpr(value=value) | ast.Await(value=value):
                return self.resolve(value)
            case ast.IfExp(body=first, orelse=second):
                return [*self.resolve(first), *self.resolve(second)]
            case ast.BoolOp(values=values):
                return [name for value in values[:MOST_CANDIDATES] for name in self.resolve(value)]
            case ast.Call():
                return self._made_by(node)
        return ["?"]

    def _item(self, value: ast.expr, index: ast.expr) -> Sequence[str]:
        key = self.folder.whole_text(index)
        for start in self.resolve(value):
            if start == "sys.modules" and key is not None:
                return [key]
            if start in ("globals()", "locals()", "vars()") and key is not None:
                return self.bound.get(key) or (key,)
            if start in _SENSITIVE or start == "sys.modules":
                if key is None:
                    self.computed = True
                else:
                    return [f"{start}.{key}"]
            container = _element(value, index)
            if container is not None:
                return self.resolve(container)
        return [f"{start}[]" for start in self.resolve(value)]

    def _made_by(self, node: ast.Call) -> Sequence[str]:
        first = node.args[0] if node.args else None
        for function in self.resolve(node.func):
            if function == "get_ipython":
                return ["get_ipython"]
            if function in _IMPORTERS and first is not None:
                module = self.folder.whole_text(first)
                if module is None:
                    self.computed = True
                    return ["?"]
                return [module.replace(":", ".")]
            if function in ("getattr", "__builtins__.getattr") and len(node.args) >= 2:
                return self._attribute(node.args[0], node.args[1])
            if function == "vars" and first is not None:
                return self.resolve(first)
            if function == "operator.attrgetter" and first is not None:
                return [f"attrgetter:{self.folder.whole_text(first) or '?'}"]
            if function.startswith("attrgetter:") and first is not None:
                return [f"{start}.{function.partition(':')[2]}" for start in self.resolve(first)]
            if function in ("functools.partial", "copy.copy") and first is not None:
                return self.resolve(first)
        return [f"{function}()" for function in self.resolve(node.func)]

    def _attribute(self, owner: ast.expr, attribute: ast.expr) -> Sequence[str]:
        name = self.folder.whole_text(attribute)
        starts = self.resolve(owner)
        if name is None:
            self.computed = self.computed or any(start in _SENSITIVE for start in starts)
            return ["?"]
        return [f"{start}.{name}" for start in starts]


def canonical(name: str) -> str:
    """Return the one spelling of a dotted name that has several: `posix.system` is `os.system`."""
    for start, wanted in _CANONICAL.items():
        if name == start or name.startswith(start + "."):
            return wanted + name[len(start) :]
    return name


def _element(value: ast.expr, index: ast.expr) -> ast.expr | None:
    """The expression that a constant subscript picks out of a literal list, tuple or dictionary."""
    if not isinstance(index, ast.Constant):
        return None
    if isinstance(value, (ast.List, ast.Tuple)) and isinstance(index.value, int):
        elements = value.elts
        return elements[index.value] if -len(elements) <= index.value < len(elements) else None
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == index.value:
                return item
    return None
