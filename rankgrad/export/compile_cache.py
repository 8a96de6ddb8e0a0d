"""What torch.compile made, in a file that spares another process the work."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import torch

from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad.export.compiled_libraries import put_libraries, used_libraries
from rankgrad.export.package_files import check_machine, machine

_HEAD, _ARTIFACTS, _LIBRARIES = "rankgrad.json", "artifacts", "libraries/"
_FORMAT = "rankgrad compile cache 1"
_AGAIN = "warm up and save again"


def save_compile_cache(path: str | Path) -> int:
    """Write all that this process has compiled so far: graphs, kernels, decisions about shapes.

    To torch's own caches come the libraries of a CPU's kernels, which those leave out: with them another process needs
    no C++ compiler's time.

    Args:
        path: the file; replaced as a whole.

    Returns:
        the number of things in it.

    Raises:
        InputError: when nothing has been compiled that can be kept.
    """
    found = torch.compiler.save_cache_artifacts()
    if found is None:
        raise InputError(f"nothing was compiled that {path} could hold: call warm_up of a compiled graph first")
    artifacts, about = found
    libraries = used_libraries()
    head = {"format": _FORMAT, "machine": machine("cuda" if torch.cuda.is_available() else "cpu")}
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_HEAD, json.dumps(head))
        archive.writestr(_ARTIFACTS, artifacts)
        for name, content in libraries.items():
            archive.writestr(_LIBRARIES + name, content)
    return sum(len(keys) for keys in about.artifacts.values()) + len(libraries)


def load_compile_cache(path: str | Path) -> int:
    """Put what :func:`save_compile_cache` wrote where ``torch.compile`` looks before it compiles.

    Call it before the first call of a compiled ranker. What does not fit the model is left unused, and compiled as
    without a cache. The file holds code that is run: load none whose origin you do not know.

    Returns:
        the number of things in it.

    Raises:
        InputError: for a file that is missing, damaged, no such cache, or from another machine or version of torch.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file: pass what save_compile_cache wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        head = json.loads(contents.get(_HEAD, b"{}"))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is damaged, or no compile cache ({error}): {_AGAIN}") from error
    if not isinstance(head, dict) or head.get("format") != _FORMAT or _ARTIFACTS not in contents:
        raise InputError(f"{path} is no compile cache: pass what save_compile_cache wrote")
    check_machine(path, head["machine"], _AGAIN)
    about = torch.compiler.load_cache_artifacts(contents[_ARTIFACTS])
    if about is None:
        raise InputError(f"{path} cannot be read by torch {torch.__version__}: {_AGAIN}")
    prefixed = {name: content for name, content in contents.items() if name.startswith(_LIBRARIES)}
    put_libraries({name.removeprefix(_LIBRARIES): content for name, content in prefixed.items()})
    return sum(len(keys) for keys in about.artifacts.values()) + len(prefixed)
