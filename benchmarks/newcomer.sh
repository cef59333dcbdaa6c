#!/usr/bin/env bash
# How long a newcomer waits, stage by stage: a fresh clone and environment, the installation, the demonstration, and the
# first Python of the README. Caches are empty, those of pip and of the compiler too.
#
# Usage: benchmarks/newcomer.sh [LOG]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
log=$(realpath -m "${1:-$here/results/newcomer/log.txt}")
mkdir -p "$(dirname "$log")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(python3 -c "import sys; print(sys._base_executable)")
export HOME="$work/home" XDG_CACHE_HOME="$work/cache" TORCHINDUCTOR_CACHE_DIR="$work/inductor" PIP_NO_CACHE_DIR=1
unset PYTHONPATH METAPLASTIC_DATA VIRTUAL_ENV OMP_NUM_THREADS
mkdir "$HOME"
exec > >(tee "$log") 2>&1

waited=0
stage() {
    local name=$1 before after
    shift
    before=$(date +%s.%N)
    "$@" >"$work/output" 2>&1 || { cat "$work/output"; echo "failed: $name"; exit 1; }
    after=$(date +%s.%N)
    waited=$(awk "BEGIN { print $waited + $after - $before }")
    awk "BEGIN { printf \"%8.1f s  %s\n\", $after - $before, \"$name\" }"
}

echo "commit $(git -C "$here" rev-parse --short HEAD), $(date -u +%Y-%m-%d), $(nproc) cores, $("$python" -V)"
echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-), load when it began $(cut -d' ' -f1 /proc/loadavg)"
echo
stage "git clone" git clone --quiet "$here" "$work/metaplastic"
cd "$work/metaplastic"
stage "python3 -m venv .venv" "$python" -m venv .venv
stage "pip install -c constraints.txt -e ." .venv/bin/pip install --quiet -c constraints.txt -e .
stage "metaplastic demo" .venv/bin/metaplastic demo
grep -vF "$work" "$work/output" >"$work/demo" || true
awk '/^```python$/ { shown = 1; next } /^```$/ && shown { exit } shown' README.md >first.py
stage "the first Python of the README" .venv/bin/python first.py
awk "BEGIN { printf \"%8.1f s  in all\n\", $waited }"
echo
echo "What the demonstration printed:"
cat "$work/demo"
