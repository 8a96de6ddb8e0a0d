"""The shared libraries that torch's compiler builds for a CPU; torch's portable caches hold their sources only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from rankgrad._files import atomic_file

_NAME = re.compile(r"[a-z0-9]{2}/c[a-z0-9]+(\.main)?\.so")
_MAPS = Path("/proc/self/maps")


def used_libraries() -> dict[str, bytes]:
    """Content of each library, by its path in the compiler's folder.

    Those are the kernels that this process has loaded (on Linux; elsewhere none are found, and another process builds
    them anew), and the probes by which the compiler learns what this CPU can do.
    """
    folder = _folder()
    found = {path for path in folder.glob("??/c*.so") if path.name.count(".") == 1}
    if _MAPS.exists():
        mapped = {line.split(maxsplit=5)[-1].strip() for line in _MAPS.read_text().splitlines()}
        found |= {path for path in map(Path, mapped) if path.suffix == ".so" and folder in path.parents}
    named = {path.relative_to(folder).as_posix(): path for path in sorted(found)}
    return {name: path.read_bytes() for name, path in named.items() if _NAME.fullmatch(name)}


def put_libraries(libraries: Mapping[str, bytes]) -> None:
    """Put libraries where the compiler looks before it builds; what is there stays.

    What is not named as the compiler names its libraries is left out, so that nothing is written elsewhere.
    """
    folder = _folder()
    for name, content in libraries.items():
        path = folder / name
        if _NAME.fullmatch(name) and not path.exists():
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
                temporary.chmod(0o755)


def _folder() -> Path:
    # Imported late: it loads the compiler.
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return Path(cache_dir())
