"""How an operator is made known to torch: schema, what it does where, gradients, torch.vmap."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NoReturn

import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError

NAMESPACE = "stn_deploy"
_LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")  # operators live as long as it does


def define(
    name: str,
    schema: str,
    *,
    anywhere: Callable[..., Any],
    on_gpu: Callable[..., Any],
    fake: Callable[..., Any],
    shared: Collection[int] = (),
) -> Any:
    """Define an operator that changes none of its arguments.

    Args:
        schema: arguments and results, as torch writes them.
        anywhere: what it does. on_gpu: instead, on a GPU of NVIDIA's.
        fake: what shape, type and layout its results have.
        shared: numbers of the arguments that a whole batch shares, so that torch.vmap cannot map them.
    Returns:
        the operator.
    """
    # The layout of the results follows that of the source, so torch.compile must not choose another.
    tags = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order)
    _LIBRARY.define(f"{name}{schema}", tags=tags)
    _LIBRARY.impl(name, anywhere, "CompositeExplicitAutograd")
    if torch.version.cuda is not None:  # where torch says CUDA and means ROCm, the kernels do not run
        _LIBRARY.impl(name, on_gpu, "CUDA")
    qualified = f"{NAMESPACE}::{name}"
    torch.library.register_fake(qualified, fake, lib=_LIBRARY)
    operator = getattr(getattr(torch.ops, NAMESPACE), name).default
    torch.library.register_vmap(qualified, _folding(operator, frozenset(shared)), lib=_LIBRARY)
    return operator


def differentiate(name: str, backward: Callable[..., Any], setup: Callable[..., None]) -> None:
    """Give an operator its gradients, and refuse gradients of these.

    Args:
        backward, setup: as for ``torch.library.register_autograd``; the former calls NAME_backward.
    """
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup, lib=_LIBRARY)

    def refuse(ctx: Any, *gradients: Tensor) -> NoReturn:  # noqa: ARG001
        raise ArgumentError(
            f"{name}: expected to be differentiated once, got a derivative of its gradients; "
            "samplers have none, torch's neither: leave out create_graph=True, or detach the gradients"
        )

    torch.library.register_autograd(f"{NAMESPACE}::{name}_backward", refuse, lib=_LIBRARY)


def _folding(operator: Any, shared: frozenset[int]) -> Callable[..., Any]:
    """The rule for torch.vmap: the mapped dimension joins the batch, so that one launch does all."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        size = info.batch_size
        pairs = zip(arguments, in_dims, strict=True)
        folded = [_fold(given, dim, size, index in shared) for index, (given, dim) in enumerate(pairs)]
        results = operator(*folded)
        if isinstance(results, Tensor):
            return _unfold(results, size), 0
        return tuple(_unfold(result, size) for result in results), (0,) * len(results)

    return rule


def _fold(given: Any, dim: int | None, size: int, shared: bool) -> Any:
    if not isinstance(given, Tensor):
        return given
    if shared:
        if dim is not None:
            raise ArgumentError(
                "basis: expected one for all under torch.vmap, got a mapped one; call it in a loop"
            )
        return given
    batches = given.expand(size, *given.shape) if dim is None else given.movedim(dim, 0)
    return batches.flatten(0, 1)


def _unfold(result: Tensor, size: int) -> Tensor:
    return result.reshape(size, result.shape[0] // size, *result.shape[1:])
