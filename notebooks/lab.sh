#!/bin/sh
# `make lab`: prepare a folder with a shop's production database and open an audited JupyterLab on it.
#
# usage: PYTHON=path/to/python lab.sh FOLDER
# FOLDER gets audit/ (ledger and keys) and work/ (what JupyterLab shows). Nothing outside of it is written.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
bin=$(cd "$(dirname "$PYTHON")" && pwd)
home=$folder/audit
work=$folder/work

mkdir -p "$work"
[ -f "$work/shop.db" ] || "$PYTHON" "$here/shop" "$work/shop.db"
[ -f "$work/investigation.ipynb" ] || cp "$here/investigation.ipynb" "$work/investigation.ipynb"
[ -f "$home/ledger.db" ] || "$bin/jupyter-audit" init --home "$home"

cat <<NEXT

  1. JupyterLab opens in your browser (or open the URL printed below). Open investigation.ipynb there.
  2. Run its first cell: it is refused, because nobody has granted you access yet. That is the point.
  3. Ask for access: menu Audit, Audit Panel. Give a reason and the ticket SHOP-1042, then approve it yourself.
  4. Run All. Every cell is in the ledger before it runs; the fault shows itself at the end.
  5. Prove it, in a second terminal:  make review  (verifies the ledger, and shows what was done as a page)
  6. Stop with Ctrl-C. The ledger stays in $home; \`make clean\` removes it.

NEXT
exec "$bin/jupyter-audit" lab --solo --home "$home" --root-dir "$work" ${LAB_ARGS:-}
