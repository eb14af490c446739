#!/bin/sh
# `make review`: verify a lab's ledger as an auditor would, and make a page of what is in it.
#
# usage: PYTHON=path/to/python review.sh FOLDER
# FOLDER is what lab.sh made. The page is FOLDER/review.html; a ledger that is not whole gives none, only an error.
# Only the ledger and its public key are read. $JUPYTER_AUDIT_SESSION chooses the session to look at closely.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$1" && pwd)
JUPYTER_AUDIT_LEDGER=$folder/audit/ledger.db
JUPYTER_AUDIT_KEY=$folder/audit/keys/ledger.vkey
export JUPYTER_AUDIT_LEDGER JUPYTER_AUDIT_KEY

rm -f "$folder/review.html"
"$PYTHON" -m jupyter nbconvert --log-level ERROR --to html --execute --no-input \
    --ExecutePreprocessor.kernel_name=python3 --output-dir "$folder" --output review.html "$here/review.ipynb"
echo "The review is in $folder/review.html"
