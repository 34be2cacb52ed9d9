"""The processes that train together: started by torchrun, or one alone."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stn_deploy.errors import ArgumentError, StnDeployError

_PATIENCE = timedelta(hours=1)
"""How long a process waits for another that is alive; the death of one is noticed at once."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Team:
    """What a process knows of the others.

    rank: from 0. size: number of processes. device: on which this one trains.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and speaks to the user."""
        return self.rank == 0

    def share(self, module: nn.Module) -> nn.Module:
        """A module whose gradients are averaged over all processes, and whose weights start equal."""
        if self.size == 1:
            return module
        return DistributedDataParallel(
            module, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def decide(self, action: Callable[[], T]) -> T:
        """What the leading process finds, in all of them; where it refuses, all refuse.

        Raises:
            StnDeployError: raised by the action.
        """
        if self.size == 1:
            return action()
        answer: list[T | StnDeployError | None] = [None]
        if self.leads:
            try:
                answer[0] = action()
            except StnDeployError as error:
                answer[0] = error
        dist.broadcast_object_list(answer, src=0, device=self.device)
        if isinstance(answer[0], StnDeployError):
            raise answer[0]
        return answer[0]  # type: ignore[return-value]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, in each of them."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    def split(self, name: str, count: int) -> int:
        """This process's part of a number that all share.

        Raises:
            ArgumentError: it cannot be shared out evenly.
        """
        if count % self.size:
            raise ArgumentError(
                f"recipe: {name} is {count}, expected a multiple of {self.size}, the number of processes; "
                "change one of them"
            )
        return count // self.size


def leads() -> bool:
    """Whether this process will lead the team that it joins."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def join_team(device: str = "auto") -> Iterator[Team]:
    """The team of this process: what torchrun started, else this process alone.

    Args:
        device: auto (a GPU where there is one), cpu or cuda; with several processes each takes the GPU of its
            local rank.
    Raises:
        ArgumentError: no such device, or more processes than GPUs.
    """
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _TORCHRUN)
    place = _find_device(device, local)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield Team(device=place)
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield Team(rank=rank, size=size, device=place)
    # Not after an error: the others may wait for this process, and are told by its end. A shared module that
    # outlived the group would drop the last reference to it, and that can hang (torch 2.13, gloo).
    gc.collect()
    dist.destroy_process_group()


_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def _find_device(name: str, local_rank: int) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ArgumentError(f"device: expected auto, cpu or cuda, got {name!r}")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if local_rank >= found:
        raise ArgumentError(
            f"device: process {local_rank + 1} on this machine needs a GPU of its own, torch finds {found}; "
            f"start at most {found} processes, or use --device cpu"
            if found
            else "device: expected a GPU that torch can use, found none; use --device cpu"
        )
    return torch.device("cuda", local_rank)
