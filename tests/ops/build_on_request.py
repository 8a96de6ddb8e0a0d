"""Builds kernels on request, in one process that imports torch and triton once and does not interpret kernels.

A line of standard input names a script and a target: ``scans_launches.py sm_90``. The answer is a line of JSON: what
the script printed, or ``{"error": the traceback}``.
"""

from __future__ import annotations

import io
import json
import runpy
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path


def answer(request: str) -> str:
    """What a script prints, run as if it were called alone."""
    script, target = request.split()
    sys.argv = [script, target]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            runpy.run_path(str(Path(__file__).parent / script), run_name="__main__")
    except Exception:
        return json.dumps({"error": traceback.format_exc()})
    return printed.getvalue().strip()


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(answer(line) + "\n")
        sys.stdout.flush()
