"""Engines that run the localisation network or the whole exported graph. They meet at small protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stn_deploy.runtime.engines.buckets import Buckets

FloatBatch = NDArray[np.float32]


class Localisation(NamedTuple):
    """theta: (n, K, 2) float32, normalised. score: (n,) float32 in [0, 1]."""

    theta: FloatBatch
    score: FloatBatch


class Straightened(NamedTuple):
    """What an engine made of n images, in their order.

    localisation: of all. rectified: (n, 3, h, w) float32, scaled as the spec says; None where not asked for.
    sampled: (n,) bool, whether ``rectified`` was sampled from the image's own pixels. Where it is False the
    image was larger than any canvas and was shrunk for the localisation; the caller has to sample it.
    """

    localisation: Localisation
    rectified: FloatBatch | None
    sampled: NDArray[np.bool_]


class Engine(Protocol):
    """Straightens images of any sizes; any number of threads may share one."""

    def straighten(self, images: Sequence[NDArray[np.uint8]], *, rectified: bool = True) -> Straightened:
        """Find theta and score, and sample.

        Args:
            images: each (h, w, 3) uint8, BGR; any number, also none.
            rectified: whether the samples are wanted; without, they are not copied from the GPU.
        Raises:
            ClosedError: it was closed, or this is a fork of the process that made it.
            EngineError: the GPU fails; nothing is left behind, the next call begins anew.
        """

    def close(self) -> None:
        """Give all memory back; what consumers hold on the GPU stays theirs until they let go."""


class Localiser(Protocol):
    """Runs the localisation part: what the split path needs."""

    def localise(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        """Find theta and score.

        Args:
            thumbnails: (n, 3, h, w), BGR in [0, 255].
            sizes: (n, 2), height and width of the images, pixels.
        """


class FullGraph(Protocol):
    """Runs the whole exported graph on a padded canvas."""

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch: rectified (n, 3, h, w), scaled as the spec says, and the localisation.

        Args:
            images: (n, H, W, 3), BGR; see `stn_deploy.runtime.canvas.pack_canvas`.
            extents: (n, 2), valid fraction (height, width).
        """


class Bound(Protocol):
    """The full graph, ready to run on inputs and outputs that lie at known addresses."""

    def enqueue(self) -> None:
        """Queue one run on the stream of its `DeviceGraph`; nothing is waited for.

        Raises:
            EngineError: it cannot be queued.
        """

    def close(self) -> None:
        """Let go of it; its runs are over."""


class DeviceGraph(Protocol):
    """The full graph on a GPU, fed by address: what the double-buffered runner drives.

    outputs: for each of rectified, theta and score the shape of one image's part, and the type.
    buckets: sizes of the batches that it takes.
    capturable: whether its runs may be captured into a CUDA graph.
    """

    outputs: Mapping[str, tuple[tuple[int, ...], np.dtype]]  # type: ignore[type-arg]
    buckets: Buckets
    capturable: bool

    def bind(self, batch: int, canvas: tuple[int, int], addresses: Mapping[str, int]) -> Bound:
        """Make it ready for so many images, on canvases of this height and width.

        Args:
            addresses: on the GPU, of images, extents, rectified, theta and score.
        """

    def close(self) -> None:
        """Give its memory back."""


__all__ = [
    "Bound",
    "DeviceGraph",
    "Engine",
    "FloatBatch",
    "FullGraph",
    "Localisation",
    "Localiser",
    "Straightened",
]
