"""Positions stay in float32 or float64, whatever precision the network around them runs in.

In half precision a normalised coordinate is off by up to 0.1 pixel: in float16 at a width of 800, in bfloat16
at a width of 100.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which arithmetic on the tensor's device keeps its type."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def exact_product(rows: Tensor, columns: Tensor) -> Tensor:
    """(m, K) times (K, P), exact in the type of ``rows``, also where products of float32 are reduced.

    TF32 and bfloat16 have half precision's fraction and would move points as much.
    """
    # Apple's GPUs have neither a reduced float32 nor a float64.
    if rows.dtype == torch.float32 and rows.device.type != "mps" and _float32_is_reduced():
        return (rows.double() @ columns.double()).float()
    return rows @ columns


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _float32_is_reduced() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # backends have settings of their own, which this one cannot say
        return True
