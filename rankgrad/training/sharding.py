"""Fully sharded data parallelism: each process holds a part of every matrix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from rankgrad._checks import InputError
from rankgrad.models import CrossEncoder
from rankgrad.models._equal_calls import mark_split
from rankgrad.training.backbone import layers_of


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Split the parameters over the processes of a mesh, layer by layer; does nothing to a model that is split already.

    A unit, whose parameters are put together while it runs, is each layer of a backbone, then the rest of the backbone,
    then what stands beside it: a ranker's own ``forward`` is not always what is called, its parts are. All processes
    must call a unit equally often, which :func:`rankgrad.models._equal_calls.call_each` sees to.

    Raises:
        InputError: for a cross-encoder that calls the parts of its encoder.

    Reference:
        Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023.
    """
    if any(isinstance(module, FSDPModule) for module in model.modules()):
        return
    for module in model.modules():
        if isinstance(module, CrossEncoder) and _calls_parts(module):
            raise InputError(
                "a cross-encoder that is listwise, merges tokens (compress_layer), has padding='packed' or "
                "exits, calls the parts of its encoder, which FSDP splits: train it with DDP "
                "(configs/trainer/ddp.yaml), or leave that option out"
            )
    for unit in _units(model):
        fully_shard(unit, mesh=mesh)
    mark_split(model, mesh)


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Give a split model whole parameters, on the CPU, to be saved; all processes must enter and leave."""
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            unit.reshard()  # After a forward pass a unit may still hold its parameters together.
    split = [
        (module, name, parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(parameter, DTensor)
    ]
    # One parameter may stand in several modules, and must afterwards.
    together = {id(each): nn.Parameter(each.full_tensor().detach().cpu()) for _, _, each in split}
    for module, name, parameter in split:
        setattr(module, name, together[id(parameter)])
    try:
        yield
    finally:
        for module, name, parameter in split:
            setattr(module, name, parameter)


def check_strategy(checkpoint: dict[str, Any], path: str | Path, *, sharded: bool) -> None:
    """Refuse a checkpoint of a run that was split, where this one is not, and the other way round.

    Lightning (2.6) numbers the optimizer's states of a split model in another order: they would get mixed up.

    Raises:
        InputError: naming both.
    """
    kinds = {True: "a sharding strategy (FSDP)", False: "a strategy that does not shard"}
    before = bool(checkpoint.get("sharded", False))
    if before != sharded:
        raise InputError(
            f"{path} was written with {kinds[before]}, and this run has {kinds[sharded]}: resume with the strategy it "
            "was begun with"
        )


def _units(model: nn.Module) -> Iterator[nn.Module]:
    backbone = getattr(model, "backbone", None)
    inside: set[nn.Parameter] = set()
    if isinstance(backbone, nn.Module):
        yield from layers_of(backbone)
        yield backbone
        inside = set(backbone.parameters())
    for child in _called(model):
        if set(child.parameters()) - inside:
            # A ranker inside a ranker is called by its parts too, as the text side of an ImageColBERT is.
            yield from _units(child) if hasattr(child, "backbone") else (child,)
    if list(model.parameters(recurse=False)):
        yield model


def _calls_parts(model: CrossEncoder) -> bool:
    return model.options.packed_only or model.padding == "packed" or bool(model.options.exits)


def _called(model: nn.Module) -> Iterator[nn.Module]:
    """The children; of a container, which nobody calls, what is in it."""
    for child in model.children():
        yield from _called(child) if isinstance(child, nn.ModuleDict | nn.ModuleList) else (child,)
