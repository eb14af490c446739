"""
Texts that code builds from constants, worked out without running it. Pure.

`"SEL" + "ECT"`, f-strings, `.join`, `%`, `.format`, reversal, base64 and the like are read as the text they
make; what only the running program knows becomes a `HOLE`. Bounded in size and depth, so that a cell cannot
make the server work (a decompression bomb folds to nothing).
"""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import re
import zlib
from collections.abc import Callable, Mapping, Sequence

HOLE = "\ue000"
"""Stands for what cannot be known before the code runs. A private-use character: no SQL or shell has it."""

MOST_TEXT = 64 * 1024
MOST_DEPTH = 60

Folded = str | bytes | int | list["Folded"] | None
Resolve = Callable[[ast.expr], Sequence[str]]

_PERCENT = re.compile(r"%(?:\(\w+\))?+[-#0 +]*+[\d*]*+(?:\.[\d*]++)?+[diouxXeEfFgGcrsa]")
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}")

_UNARY_TEXT: Mapping[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lstrip": str.strip,
    "rstrip": str.strip,
    "lower": str.lower,
    "upper": str.upper,
    "casefold": str.casefold,
    "swapcase": str.swapcase,
    "title": str.title,
}


def _inflate(data: bytes) -> bytes | None:
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    plain = machine.decompress(data, MOST_TEXT)
    return None if machine.unconsumed_tail else plain


_DECODERS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "base64.b64decode": base64.b64decode,
    "base64.standard_b64decode": base64.b64decode,
    "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
    "base64.decodebytes": base64.decodebytes,
    "base64.b32decode": base64.b32decode,
    "base64.b16decode": base64.b16decode,
    "base64.b85decode": base64.b85decode,
    "base64.a85decode": base64.a85decode,
    "binascii.a2b_base64": binascii.a2b_base64,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_hex": binascii.unhexlify,
    "bytes.fromhex": lambda data: bytes.fromhex(data.decode("ascii")),
    "zlib.decompress": _inflate,
    "gzip.decompress": _inflate,
}

_CODECS = frozenset({"rot13", "rot_13", "hex", "hex_codec", "base64", "base64_codec", "utf-8", "utf8", "ascii"})


class Folder:
    """
    Folds expressions of one piece of code.

    `constants` are names that hold a known text; `resolve` gives the dotted names that an expression may
    stand for. Each node is folded once.
    """

    def __init__(self, resolve: Resolve) -> None:
        self.constants: dict[str, Folded] = {}
        self._resolve = resolve
        self._known: dict[int, Folded] = {}
        self._depth = 0

    def text(self, node: ast.expr) -> str | None:
        """Return the text that `node` makes, with holes, or None if it makes none that is known."""
        value = self.fold(node)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else None

    def whole_text(self, node: ast.expr) -> str | None:
        """Return the text that `node` makes if all of it is known."""
        text = self.text(node)
        return None if text is None or HOLE in text else text

    def fold(self, node: ast.expr) -> Folded:
        """Return the constant that `node` makes, or None."""
        if isinstance(node, ast.Name):
            return self.constants.get(node.id)
        key = id(node)
        if key in self._known:
            return self._known[key]
        if self._depth >= MOST_DEPTH:
            return None
        self._depth += 1
        try:
            value = _bounded(self._fold(node))
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            OverflowError,
            zlib.error,
            binascii.Error,
            EOFError,
        ):
            value = None  # the program would fail here too
        finally:
            self._depth -= 1
        self._known[key] = value
        return value

    def _fold(self, node: ast.expr) -> Folded:
        match node:
            case ast.Constant(value=bool()):
                return None
            case ast.Constant(value=str() | bytes() | int() as constant):
                return constant
            case ast.JoinedStr(values=values):
                return "".join(self._part(value) for value in values)
            case ast.NamedExpr(value=value):
                return self.fold(value)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self.fold(element) for element in elements]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._sum(left, right)
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return self._percent(self.fold(left))
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return _repeat(self.fold(left), self.fold(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self.fold(operand)
                return -number if isinstance(number, int) else None
            case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
                whole = self.fold(value)
                if isinstance(whole, (str, bytes, list)):
                    return whole[self._bound(lower) : self._bound(upper) : self._bound(step)]
            case ast.Subscript(value=value, slice=index):
                whole, at = self.fold(value), self.fold(index)
                if isinstance(whole, (str, bytes, list)) and isinstance(at, int):
                    return whole[at]
            case ast.Call():
                return self._call(node)
        return None

    def _part(self, node: ast.expr) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.format_spec is not None or node.conversion not in (-1, ord("s")):
                return HOLE
            value = self.fold(node.value)
            return str(value) if isinstance(value, (str, int)) else HOLE
        value = self.fold(node)
        return value if isinstance(value, str) else HOLE

    def _sum(self, left: ast.expr, right: ast.expr) -> Folded:
        first, second = self.fold(left), self.fold(right)
        if isinstance(first, str) or isinstance(second, str):
            return (first if isinstance(first, str) else HOLE) + (second if isinstance(second, str) else HOLE)
        if isinstance(first, bytes) and isinstance(second, bytes):
            return first + second
        if isinstance(first, int) and isinstance(second, int):
            return first + second
        if isinstance(first, list) and isinstance(second, list):
            return first + second
        return None

    @staticmethod
    def _percent(template: Folded) -> Folded:
        return _PERCENT.sub(HOLE, template) if isinstance(template, str) else None

    def _bound(self, node: ast.expr | None) -> int | None:
        if node is None:
            return None
        value = self.fold(node)
        if not isinstance(value, int):
            raise ValueError("a bound that is not known")
        return value

    def _call(self, node: ast.Call) -> Folded:
        arguments = [self.fold(argument) for argument in node.args]
        if isinstance(node.func, ast.Attribute):
            made = self._method(self.fold(node.func.value), node.func.attr, arguments)
            if made is not None:
                return made
        for name in self._resolve(node.func):
            made = _function(name, arguments)
            if made is not None:
                return made
        return None

    @staticmethod
    def _method(value: Folded, method: str, arguments: Sequence[Folded]) -> Folded:
        match value, method, arguments:
            case str(), "format" | "format_map", _:
                return _BRACES.sub(_filled, value)
            case str(), "join", [list() as parts]:
                return value.join(part if isinstance(part, str) else HOLE for part in parts)
            case str(), "join", [str() as letters]:
                return value.join(letters)
            case bytes(), "join", [list() as parts]:
                return value.join(part for part in parts if isinstance(part, bytes))
            case str(), "replace", [str() as old, str() as new, *_]:
                return value.replace(old, new) if len(value) * (len(new) + 1) <= MOST_TEXT else None
            case str(), "encode", _:
                return value.encode("utf-8", "replace")
            case bytes(), "decode", _:
                return value.decode("utf-8", "replace")
            case str(), ("strip" | "lstrip" | "rstrip" | "lower" | "upper" | "casefold" | "swapcase" | "title"), []:
                return _UNARY_TEXT[method](value)
        return None


def _filled(match: re.Match[str]) -> str:
    return {"{{": "{", "}}": "}"}.get(match.group(), HOLE)


def _repeat(value: Folded, times: Folded) -> Folded:
    if isinstance(value, int) and isinstance(times, (str, bytes)):
        value, times = times, value
    if isinstance(value, (str, bytes)) and isinstance(times, int):
        return value * times if len(value) * max(times, 0) <= MOST_TEXT else None
    return None


def _function(name: str, arguments: Sequence[Folded]) -> Folded:
    match name, arguments:
        case "chr", [int() as code]:
            return chr(code)
        case "str", [str() | int() as value]:
            return str(value)
        case "str", [bytes() as data, *_]:
            return data.decode("utf-8", "replace")
        case "bytes" | "bytearray", [str() as text, *_]:
            return text.encode("utf-8", "replace")
        case "bytes" | "bytearray", [list() as numbers]:
            return bytes(number for number in numbers if isinstance(number, int))
        case "reversed", [str() as text]:
            return text[::-1]
        case "textwrap.dedent" | "inspect.cleandoc" | "sys.intern", [str() as text]:
            return text
        case "codecs.decode" | "codecs.encode", [str() | bytes() as value, str() as codec] if codec.lower() in _CODECS:
            return _recoded(name, value, codec.lower())
    decoder = _DECODERS.get(name)
    if decoder is not None and arguments and isinstance(arguments[0], (str, bytes)):
        first = arguments[0]
        return decoder(first.encode("ascii") if isinstance(first, str) else first)
    return None


def _recoded(name: str, value: str | bytes, codec: str) -> str | bytes:
    if codec.startswith("rot"):
        text = value if isinstance(value, str) else value.decode("ascii")
        return codecs.decode(text, "rot13")
    if name == "codecs.encode":
        return value.encode("utf-8") if isinstance(value, str) else value
    data = value if isinstance(value, bytes) else value.encode("ascii")
    if codec.startswith("hex"):
        return binascii.unhexlify(data)
    return base64.b64decode(data) if codec.startswith("base64") else data.decode("utf-8", "replace")


def _bounded(value: Folded) -> Folded:
    if isinstance(value, (str, bytes, list)) and len(value) > MOST_TEXT:
        return None
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    return value
