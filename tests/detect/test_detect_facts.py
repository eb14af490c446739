"""What reading code finds, and that no text whatever makes it fail or take long."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_audit.detect.facts import MOST_CODE, MOST_ITEMS, extract
from jupyter_audit.detect.sources import sources_of
from jupyter_audit.detect.sql import looks_like_sql, read_sql, search_sql

# Pieces of code, magics and SQL, so that arbitrary texts come near to being real ones.
PIECES = st.sampled_from(
    r"""import os|os.system(|'id'|)|!|%%bash|%time |getattr(|exec(|f'{|}'|'''|\|SELECT * FROM |DELETE FROM |orders|
 WHERE |;|--|/*|(|[|{|lambda: |await | |base64.b64decode(|'a'.join(|[::-1]|% |+|*9|ls|?|=|q|**|if x:|match x:|%|$x|`|
 LIMIT -1|WITH a AS (|EXPLAIN ANALYZE |case 1:|DROP |UPDATE |SET |CREATE TEMP TABLE |!!|%sql |%timeit -n 1 """.split("|")
    + ["\n", "\x00", "\ue000", "\ud800", "\U0001d4aa"]
)
NEAR_CODE = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


@given(st.text() | NEAR_CODE, st.dictionaries(st.text(max_size=3), st.tuples(st.text(max_size=8)), max_size=3))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_reading_code_fail(text: str, known: dict[str, tuple[str, ...]]) -> None:
    facts = extract([text], known)
    assert facts.read_as in ("python", "ipython", "text")


@given(st.text() | NEAR_CODE)
@settings(max_examples=400, deadline=None)
def test_no_text_makes_reading_sql_fail(text: str) -> None:
    looks_like_sql(text)
    found = read_sql(text)
    for name in found.tables | found.unlimited | {table for _, table in found.writes}:
        assert len(name) <= 60
        assert not set(name) & set("'\"<>\n\x1b;")


KEYS = "code user_expressions arguments expression breakpoints condition value cut head".split()
JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from(["execute_request", "debug_request", "input_reply", "comm_msg", ""]),
    st.none() | st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_no_content_makes_reading_a_message_fail(msg_type: str, content: bytes | None) -> None:
    assert all(isinstance(source, str) and source.strip() for source in sources_of(msg_type, content))


BOMBS = {
    "brackets": "(" * 50_000,
    "closed brackets": "(" * 3_000 + ")" * 3_000,
    "minus": "-" * 50_000 + "1",
    "attributes": "a" + ".b" * 30_000,
    "calls": "f" + "()" * 30_000,
    "subscripts": "x" + "[0]" * 30_000,
    "sum of texts": "+".join(["'a'"] * 20_000),
    "sum of calls": "+".join(["f('SELECT * FROM orders')"] * 1_000),
    "many statements": "\n".join(f"cur.execute('SELECT * FROM t{n}')" for n in range(2_000)),
    "one long statement": "q = 'SELECT " + ", ".join(f"c{n}" for n in range(10_000)) + " FROM t'",
    "nested sql": "q = 'SELECT * FROM " + "(SELECT * FROM " * 900 + "t" + ")" * 900 + "'",
    "repeated": "x = 'a' * 10 ** 9\ny = 'a' * 60000\nz = y + y\nw = z * 9",
    "growing": "q = 'SELECT '\n" + "q += q\n" * 200,
    "replaced": "q = ('a' * 60000).replace('a', 'b' * 60000)",
    "assigned": "\n".join(f"a{n} = os" for n in range(5_000)) + "\na4999.system('x')",
    "chained": "a0 = os\n" + "\n".join(f"a{n + 1} = a{n}" for n in range(3_000)) + "\na3000.system('x')",
    "nested exec": "exec(" * 200 + "'1'" + ")" * 200,
    "f-strings": "f'" + "{x}" * 20_000 + "'",
    "words after drop": "q = 'drop " + "a " * 40_000 + "'",
    "spaces": "q = 'delete" + " " * 90_000 + "x'",
    "open comments": "q = 'DELETE " + "/*" * 40_000 + "'",
    "backticks": "q = 'DELETE FROM " + "`" * 80_000 + "'",
    "options": "%timeit " + "-n 1 " * 15_000,
    "shell": "!" + "a|" * 40_000,
    "quotes": "!" + "'a" * 40_000,
    "bang lines": "!ls\n" * 5_000,
    "not python": "val x: Int = 3 // " * 5_000,
    "create create": "q='" + "create or replace " * 4_000 + "'",
    "grant": "q='grant " + "a " * 40_000 + "'",
    "select": "q='" + "select " * 10_000 + "'",
    "blank lines": "\n" * 99_000 + "(",
    "digits of an option": "%timeit -" + "1" * 90_000 + "!",
    "digits of a format": "q = '%" + "0" * 60_000 + "!' % x",
    "copy": "q = '" + "copy a(" * 9_000 + "'",
    "open names": "q = '" + "delete from [" * 5_000 + "'",
    "load data": "q = '" + "load data " * 6_400 + "'",
    "calls of calls": "f" + "()" * 60,
    "calls of choices": "(" * 40 + "a" + " or b)()" * 40,
    "a query that grows": "q = 'SELECT * FROM a'\n" + "q += ' '\n" * 12_000,
    "a long query run often": "q = 'SELECT * FROM a " + " " * 60_000 + "'\n" + "cur.execute(q)\n" * 2_000,
    "many joins": "q = 'select * from a" + " join b on a.x = b.x" * 1_000 + "'",
    "many unions": "q = '" + "select a from b union " * 900 + "select 1 from c'",
    "many queries": "\n".join(f"f('select * from t{n} where a = 1')" for n in range(2_500)),
    "many imports": "import " + ",".join(f"a{n} as b{n}" for n in range(7_000)),
    "magics in magics": "%time " * 15_000 + "1",
    "shell assigned": "x = !ls\n" * 300,
    "help": "foo?\n" * 300,
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_cell_holds_the_server_up(name: str) -> None:
    """None takes more than a moment, though each is near the size that is parsed at most."""
    text = BOMBS[name][:MOST_CODE]
    started = time.process_time()
    facts = extract([text])
    assert time.process_time() - started < 2.5
    assert len(facts.uses) <= MOST_ITEMS


def test_reading_an_ordinary_cell_takes_less_than_a_millisecond_or_so() -> None:
    code = "df = pd.read_sql('SELECT status, count(*) FROM orders WHERE id > ? GROUP BY 1', con)\ndf.head()"
    extract([code])
    started = time.process_time()
    for _ in range(50):
        extract([code])
    assert (time.process_time() - started) / 50 < 0.005  # five times what it takes, for slow machines


def test_an_alias_of_an_earlier_cell_is_known() -> None:
    first = extract(["import subprocess as sp"])
    assert "subprocess.run" in extract(["sp.run(['id'])"], first.bindings).uses
    assert "subprocess.run" not in extract(["sp.run(['id'])"]).uses


def test_values_of_a_statement_are_not_among_the_facts() -> None:
    secret = "4111111111111111"
    facts = extract([f"cur.execute(\"UPDATE cards SET number = '{secret}' WHERE owner = '{secret}'\")"])
    assert facts.sql_writes == ("UPDATE:cards",)
    assert secret not in repr(facts)


def test_code_that_cannot_be_known_is_said_to_be_hidden() -> None:
    assert extract(["exec(input())"]).obfuscated == ("exec",)
    assert extract(["import os\ngetattr(os, name)('id')"]).obfuscated == ("computed name",)
    assert extract(["import pickle\npickle.loads(data)"]).obfuscated == ("pickle.loads",)
    assert extract(["df.eval('a + b')\nre.compile(x)\ngetattr(row, name)"]).obfuscated == ()


def test_a_decompression_bomb_folds_to_nothing() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"A" * 50_000_000)).decode()[: MOST_CODE - 100]
    facts = extract([f"import zlib, base64\nexec(zlib.decompress(base64.b64decode('{bomb}')))"])
    assert facts.obfuscated == ("exec",)


def test_patterns_find_writes_in_other_languages() -> None:
    assert search_sql('dbExecute(con, "DELETE FROM orders")').writes == {("DELETE", "orders")}
    assert extract(['dbExecute(con, "DELETE FROM orders") %>% print() <- x']).sql_writes == ("DELETE:orders",)


def test_the_facts_of_a_cell_are_the_same_each_time() -> None:
    lines = ["import os as a", "a.system('x')", "cur.execute('DELETE FROM b')", "!ls", "exec(x)"] * 3
    random.Random(1).shuffle(lines)
    assert extract(["\n".join(lines)]) == extract(["\n".join(lines)])
