"""
The names that reading goes by: which magics hold code, which calls take SQL, which hide what they run.

Tables only. They say where to look; what deserves a finding is said by the rules (rules/*.yml).
"""

from __future__ import annotations

SHELL_ALIASES = frozenset(
    [
        "cat",
        "cp",
        "ldir",
        "less",
        "lf",
        "lk",
        "ll",
        "ls",
        "lx",
        "man",
        "mkdir",
        "more",
        "mv",
        "rm",
        "rmdir",
        "sx",
        "system",
        "bash",
        "sh",
        "pip",
        "conda",
        "mamba",
        "micromamba",
        "uv",
    ]
)
"""First words of a one-line cell by which IPython runs a shell without `!` or `%` (automagic, aliases)."""

SHELL_MAGICS = frozenset({"sx", "system", "!", "bash", "sh", "script", "cmd"})

CODE_MAGICS = frozenset(
    {"time", "timeit", "prun", "lprun", "mprun", "memit", "debug", "capture", "config", "pyinstrument", "scalene"}
)

LOADER_MAGICS = frozenset({"load_ext", "reload_ext", "aimport"})
"""Magics that import the module that they name."""

HARMLESS_MAGICS = frozenset(
    {
        "audit",
        "autoreload",
        "automagic",
        "cd",
        "colors",
        "dhist",
        "dirs",
        "doctest_mode",
        "env",
        "hist",
        "history",
        "html",
        "latex",
        "lsmagic",
        "magic",
        "markdown",
        "matplotlib",
        "notebook",
        "page",
        "pdef",
        "pdoc",
        "pfile",
        "pinfo",
        "pinfo2",
        "pprint",
        "precision",
        "psearch",
        "psource",
        "pwd",
        "pylab",
        "quickref",
        "reset",
        "reset_selective",
        "set_env",
        "svg",
        "tb",
        "unload_ext",
        "who",
        "who_ls",
        "whos",
        "xdel",
        "xmode",
    }
)
"""Magics that run none of the words after them as code."""

SQL_MAGICS = frozenset({"sql", "sqlcmd", "bigquery", "sparksql", "duckdb"})

READ_MAGICS = frozenset({"!"}) | SHELL_ALIASES | SHELL_MAGICS | CODE_MAGICS | SQL_MAGICS | LOADER_MAGICS | HARMLESS_MAGICS
"""Magics of which it is known what they do with their words; what any other runs is not read."""

PROCESS_STARTERS = (
    "os.system",
    "os.popen",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "subprocess.",
    "pty.spawn",
    "asyncio.create_subprocess",
    "pexpect.",
    "get_ipython.system",
    "get_ipython.getoutput",
)
"""Beginnings of the dotted names whose argument is a command."""

CODE_RUNNERS = frozenset(
    {
        "exec",
        "eval",
        "compile",
        "__builtins__.exec",
        "__builtins__.eval",
        "__builtins__.compile",
        "get_ipython.run_cell",
        "get_ipython.run_cell_async",
        "get_ipython.ex",
        "get_ipython.ev",
        "get_ipython.run_code",
    }
)
"""Calls whose first argument is code. A text that is known is read too; any other hides what runs."""

CODE_LOADERS = (
    "pickle.load",
    "marshal.load",
    "dill.load",
    "cloudpickle.load",
    "runpy.",
    "importlib.util.spec_from_file",
    "types.CodeType",
    "types.FunctionType",
    "ctypes.CDLL",
    "ctypes.cdll",
    "ctypes.PyDLL",
    "ctypes.pythonapi",
)
"""Beginnings of the dotted names that bring in code from where it cannot be read."""

SAYS_ONLY = frozenset(
    {
        "print",
        "display",
        "Markdown",
        "HTML",
        "input",
        "repr",
        "len",
        "warnings.warn",
        "IPython.display.display",
        "IPython.display.Markdown",
        "IPython.display.HTML",
        "re.compile",
        "re.search",
        "re.match",
    }
)
"""Calls that do nothing with a text but show or search it: SQL in it is talk, not an act."""

RUNS_SQL = frozenset(
    {
        "execute",
        "executescript",
        "executemany",
        "exec_driver_sql",
        "read_sql",
        "read_sql_query",
        "sql",
        "query",
        "read_database",
        "read_database_uri",
        "raw",
        "text",
        "fetch",
        "fetchrow",
        "fetchval",
    }
)
"""Methods whose first argument is SQL, whatever object they belong to."""

READS_A_TABLE = frozenset({"read_sql_table", "read_sql"})
"""Methods that read a whole table when they are given its bare name."""

TAKES_FEW = frozenset({"fetchone", "fetchmany", "first", "scalar", "scalar_one", "one", "one_or_none"})
"""Methods that, called on a query's result at once, take a known number of rows from it."""

TOO_LONG = "longer than is read"
TOO_DEEP = "nested deeper than is read"
TOO_MANY = "more names than are kept"
COMPUTED_MAGIC = "computed magic"
UNREAD = frozenset({TOO_LONG, TOO_DEEP, TOO_MANY, COMPUTED_MAGIC})
"""What the field `obfuscated` says of code that was not read whole: what it does is not in the other fields."""
