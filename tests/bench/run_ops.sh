#!/bin/sh
# Rounds of the op benchmarks, ours and PyTorch's in turn, then one table.
#
#   tests/bench/run_ops.sh BUILD_FOLDER OUTPUT_FOLDER [arguments of both]
#
# ROUNDS=3, PYTHON=python3 (one that has torch), THREADS=2. Without PyTorch
# the column stays empty.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: $0 BUILD_FOLDER OUTPUT_FOLDER [arguments]" >&2
    exit 2
fi
build=$1
out=$2
shift 2
here=$(dirname "$0")
rounds=${ROUNDS:-3}
python=${PYTHON:-python3}
threads=${THREADS:-2}
: "${TKP_BACKEND_DIR:=$build/lib/tokenprune}"
export TKP_BACKEND_DIR
mkdir -p "$out"
rm -f "$out"/ours_*.csv "$out"/torch_*.csv

check=
round=1
while [ "$round" -le "$rounds" ]; do
    # The check against ref is the same every time: once is enough.
    # shellcheck disable=SC2086
    "$build/bin/tkp_bench_ops" --threads "$threads" $check "$@" \
        >"$out/ours_$round.csv"
    check=--no-check
    if "$python" -c 'import torch' 2>/dev/null; then
        "$python" "$here/bench_torch.py" --threads "$threads" "$@" \
            >"$out/torch_$round.csv"
    fi
    round=$((round + 1))
done
python3 "$here/merge_ops.py" "$out"/*_[0-9]*.csv >"$out/table.md"
echo "$out/table.md"
