#!/bin/sh
# ipykernel's own tests, first against plain ipykernel, then against the audit kernel (docs/peers.md says what is left out).
# Usage: tests/peers/run.sh PYTHON
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$("$python" -c 'import ipykernel; print(ipykernel.__version__)')
"$python" -m pip download --quiet --no-deps --no-binary ipykernel "ipykernel==$version" -d "$work"
tar -xzf "$work/ipykernel-$version.tar.gz" -C "$work"
cd "$work/ipykernel-$version"
suite="tests/test_kernel.py tests/test_message_spec.py tests/test_async.py tests/test_subshells.py tests/test_debugger.py"
run() {
    # shellcheck disable=SC2086 (the list is meant to be split)
    PYTHONPATH="$here:$here/.." "$python" -m pytest -q -rf --timeout 120 -p no:cacheprovider -o addopts= -o filterwarnings=default \
        -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function "$@" $suite || true
}
echo "plain ipykernel $version:"; run
echo "the audit kernel:"; run -p audit_kernel
