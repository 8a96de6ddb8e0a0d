"""What an ahead-of-time package says of itself, and the machines it runs on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rankgrad._checks import InputError, require
from rankgrad.deploy.bundle import FEATURE_RANKER, TOKENIZER, check_file
from rankgrad.models._folder import read_json
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer

MARKER = "rankgrad_package.json"
MODEL = "model.pt2"
WEIGHTS = "query_weights.npy"
FORMAT_VERSION = 1
_AGAIN = "export the package again"


class Package(NamedTuple):
    """What loading needs.

    ``kind`` is one that :func:`rankgrad.deploy.load` knows; ``machine`` what :func:`machine` said where it was made;
    ``tokenizer`` has the settings, ``files`` size and SHA-256 of each file, ``options`` what only this kind has. A
    feature ranker has no tokenizer.
    """

    kind: str
    machine: dict[str, str]
    tokenizer: dict[str, Any]
    dim: int
    longest: int
    pad_id: int
    files: dict[str, dict[str, Any]]
    options: dict[str, Any] = {}  # noqa: RUF012

    def content(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format_version": FORMAT_VERSION, **self._asdict()}


def machine(device: str) -> dict[str, str]:
    """What machine code depends on here.

    Args:
        device: ``cpu`` or ``cuda``.

    Example:
        >>> sorted(machine("cpu"))
        ['capability', 'device', 'platform', 'torch']
    """
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        capability = f"sm_{major}{minor}"
    else:
        # Instructions that a compiler may use beyond those of the capability's name.
        more = {
            "VNNI": torch.cpu._is_vnni_supported(),
            "BF16": torch.cpu._is_avx512_bf16_supported(),
            "AMX": torch.cpu._is_amx_tile_supported(),
        }
        there = (name for name, supported in more.items() if supported)
        capability = " ".join([torch.backends.cpu.get_cpu_capability(), *there])
    system = f"{platform.system()} {platform.machine()}"
    return {"device": device, "capability": capability, "platform": system, "torch": torch.__version__}


def check_machine(path: Path, there: dict[str, str], remedy: str) -> None:
    """Refuse machine code of another machine.

    Args:
        path: what holds it.
        there: what :func:`machine` said where it was made.
        remedy: what to do.

    Raises:
        InputError: naming the first thing that differs.
    """
    cuda = there.get("device") == "cuda" and torch.cuda.is_available()
    here = machine("cuda" if cuda else "cpu")
    for name in here | there:
        if here.get(name) != there.get(name):
            raise InputError(
                f"{path} was made for {name} {there.get(name)}, and this is {here.get(name)}: {remedy} here"
            )


def read_package(folder: Path) -> Package:
    """Read and check a package's description, its machine and its files.

    Raises:
        InputError: for a folder that is missing, is no package, was made for another machine or version of torch, or
            holds a damaged file.
    """
    if not (folder / MARKER).is_file():
        raise InputError(f"{folder} is no package (it has no {MARKER}): make one with rankgrad.export.export_package")
    content = read_json(folder / MARKER)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder / MARKER}: format_version {version!r}, this rankgrad reads {FORMAT_VERSION}: {_AGAIN}"
        )
    try:
        needed = {name: content[name] for name in Package._fields if name not in Package._field_defaults}
        package = Package(**needed, options=content.get("options", {}))
        device = package.machine["device"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / MARKER} lacks {error}: {_AGAIN}") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{folder} was made for a GPU, and torch finds none here: {_AGAIN} from a model on the CPU")
    check_machine(folder, package.machine, _AGAIN)
    of_texts = () if package.kind == FEATURE_RANKER else (TOKENIZER,)
    for name in dict.fromkeys((MODEL, *of_texts, *package.files)):
        check_file(folder / name, package.files.get(name, {"bytes": -1}))
    return package


def read_tokenizer(folder: Path, package: Package) -> PairTokenizer | LateInteractionTokenizer:
    """The tokenizer with the settings that the model was trained with.

    Raises:
        InputError: for settings that cannot be used.
    """
    tokenizer = require("tokenizers", "text").Tokenizer.from_file(str(folder / TOKENIZER))
    settings = package.tokenizer
    try:
        if package.kind == "cross_encoder":
            return PairTokenizer(tokenizer, **settings)
        rules = LateInteractionRules.from_dict(settings["rules"])
        return LateInteractionTokenizer(tokenizer, rules, mask_id=settings["mask_id"], pad_id=settings["pad_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / MARKER}: the tokenizer's settings cannot be used ({error}): {_AGAIN}") from error
