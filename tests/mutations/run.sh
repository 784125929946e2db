#!/bin/sh
# Takes fixed defects and invariants out of limpet, one at a time, and expects the simulation to find each.
# Applies every patch of this folder in turn to the work tree, which must be clean, and undoes it again. With names it
# takes those patches only. A defect costs one build of the library and the seeds up to the first that finds it.
set -eu
cd "$(dirname "$0")/../.."
[ -z "$(git status --porcelain -- src)" ] || { echo "src/ has changes that are not committed" >&2; exit 2; }
if [ $# -eq 0 ]; then set -- tests/mutations/*.patch; fi
missed=0
for patch; do
    git apply "$patch"
    trap 'git apply -R "$patch"' EXIT
    cargo test -q --lib --no-run
    if found=$(LIMPET_FAILURES=1 LIMPET_SEEDS="${LIMPET_SEEDS:-10000}" cargo test -q --lib simulation::whatever 2>&1); then
        echo "$(basename "$patch"): not found"
        missed=1
    else
        echo "$(basename "$patch"): $(echo "$found" | grep -o 'seed [0-9]*: .*' | head -1 | cut -c1-160)"
    fi
    git apply -R "$patch"
    trap - EXIT
done
exit $missed
