#!/bin/sh
# Other projects' own tests, first as they are, then with our classes put in, compared (docs/peers.md says what is left out).
# Usage: tests/peers/run.sh PYTHON [ipykernel|jupyter_server]
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compared PROJECT PLUGIN TESTS [pytest's options]: run a project's tests twice, from the archive of the installed version
compared() {
    project=$1 plugin=$2 suite=$3
    shift 3
    version=$("$python" -c "import $project; print($project.__version__)")
    "$python" -m pip download --quiet --no-deps --no-binary "$project" "$project==$version" -d "$work"
    tar -xzf "$work/$project-$version.tar.gz" -C "$work"
    for run in plain ours; do
        echo "$project $version, $run"
        [ "$run" = plain ] || set -- "$@" -p "$plugin"
        # shellcheck disable=SC2086 (the list is meant to be split)
        (cd "$work/$project-$version" && PYTHONPATH="$here:$here/.." "$python" -m pytest -q --tb=short -p no:cacheprovider \
            -o addopts= -o filterwarnings=default --timeout 120 --timeout-method signal --junitxml "$work/$project-$run.xml" "$@" $suite \
            >"$work/$project-$run.log" 2>&1) || tail -n 40 "$work/$project-$run.log"
    done
    "$python" "$here/compare.py" "$work/$project-plain.xml" "$work/$project-ours.xml" "$here/$project.differences" || failed=1
}

failed=0
[ "${2:-ipykernel}" != ipykernel ] || compared ipykernel audit_kernel \
    "tests/test_kernel.py tests/test_message_spec.py tests/test_async.py tests/test_subshells.py tests/test_subshell_wedge.py tests/test_debugger.py" \
    -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function
[ "${2:-jupyter_server}" != jupyter_server ] || compared jupyter_server audit_server \
    "tests/services/kernels tests/services/sessions tests/auth" -W ignore::DeprecationWarning
exit $failed
