"""The rectifier as users meet it: images in, straightened images out, on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec, read_artifact
from stn_deploy.data import as_bgr, thumbnail_batch
from stn_deploy.errors import ArgumentError, ImageError
from stn_deploy.geometry import TextSpline, checked_size, measure_text_lines, pixels_from_normalised
from stn_deploy.geometry.convention import Size
from stn_deploy.runtime.engines.ort import OrtLocaliser
from stn_deploy.runtime.result import Rectified
from stn_deploy.runtime.sampling import sample_originals, supersampling

Image = NDArray[np.uint8]

DEFAULT_MODEL = Path(__file__).parent.parent / "weights" / "rectifier.onnx"
"""The rectifier that ships with the package."""
DEFAULT_HEIGHT = 48
LARGEST_ASPECT = 64
"""No crop is made wider than this many times its height."""
LONGEST_SIDE = 32_766
"""OpenCV samples from no larger image."""
_BATCH = 64


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


class Rectifier:
    """Straightens curved, tilted and perspective text; leaves straight text alone.

    The localisation network looks at a thumbnail in ONNX Runtime; the crop is sampled by OpenCV from the
    original pixels, once.

    Attributes:
        spec: what the model file says about itself.
        threshold: of the score; below it an image comes back as it is.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        height: int | None = None,
        size: tuple[int, int] | None = None,
        threshold: float | None = None,
        threads: int = 1,
    ) -> None:
        """Load a rectifier.

        Args:
            model: an .onnx file written by ``stn-deploy export``; the shipped one by default.
            height: of the crops, pixels, at the natural width of the straightened text; 48 by default.
            size: (height, width) of all straightened crops instead, for recognisers of fixed input size.
                Images that are left alone keep their own size here too.
            threshold: of the score, in [0, 1]; 0 straightens always. The model's own by default.
            threads: of the network, at least 1.
        Raises:
            ArtifactError: the file is missing, not ours, too new, or damaged.
            ArgumentError: an argument out of range, or both a height and a size.
            MissingDependency: onnxruntime is not installed.
        """
        if size is not None and height is not None:
            raise ArgumentError(
                f"size: expected either a height or a size, got height {height!r} and size {size!r}; "
                "a size fixes the height, too"
            )
        height = DEFAULT_HEIGHT if height is None else height
        if not _is_whole(height) or not 4 <= height <= 4096:
            raise ArgumentError(f"height: expected 4 to 4096 pixels, got {height!r}")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ArgumentError(f"threshold: expected 0 to 1, got {threshold!r}")
        if not _is_whole(threads) or threads < 1:
            raise ArgumentError(f"threads: expected at least 1, got {threads!r}")
        self._height = int(height)
        self._size = None if size is None else checked_size(size)
        if self._size is not None and max(self._size) > LONGEST_SIDE:
            raise ArgumentError(f"size: expected sides of at most {LONGEST_SIDE} pixels, got {self._size}")
        data, spec = read_artifact(DEFAULT_MODEL if model is None else Path(model))
        self.spec: RectifierSpec = spec
        self.threshold = self.spec.threshold if threshold is None else threshold
        self._spline = TextSpline.of(spec)
        self._localiser = OrtLocaliser(data, threads=int(threads))

    @overload
    def __call__(self, images: Image) -> Rectified: ...
    @overload
    def __call__(self, images: Sequence[Image]) -> list[Rectified]: ...
    @overload
    def __call__(self, images: Iterator[Image]) -> Iterator[Rectified]: ...

    def __call__(
        self, images: Image | Sequence[Image] | Iterator[Image]
    ) -> Rectified | list[Rectified] | Iterator[Rectified]:
        """Straighten one image, a list, or an iterator (lazily, order kept, 64 images in memory at a time).

        Args:
            images: each (h, w, 3) BGR, (h, w) grey or (h, w, 4) BGRA, uint8 or uint16.
        Returns:
            a `Rectified`, a list of them, or an iterator over them.
        Raises:
            ImageError: an image has a side under 2 pixels, or needs straightening and has one over 32766.
            ShapeError, ArgumentError: an array that is not an image.
        """
        if isinstance(images, np.ndarray):
            return self._batch([images])[0]
        if isinstance(images, Sequence) and not isinstance(images, (str, bytes)):
            return list(self._stream(images))
        if not isinstance(images, Iterator):
            raise ArgumentError(
                f"images: expected an array, a list or an iterator of arrays, got {type(images).__name__}; "
                "stn_deploy.data.read_image reads a file (cv2.imread returns None where it cannot), "
                "np.asarray converts other pictures"
            )
        return self._stream(images)

    def _stream(self, images: Iterable[Image]) -> Iterator[Rectified]:
        remaining, done = iter(images), 0
        while batch := list(islice(remaining, _BATCH)):
            yield from self._batch(batch, done)
            done += len(batch)

    def _batch(self, given: list[Image], before: int = 0) -> list[Rectified]:
        """Results of one batch; ``before`` images were done earlier, for the numbers in messages."""
        images = [as_bgr(image) for image in given]
        sizes = np.array([image.shape[:2] for image in images], np.float32)
        if sizes.min() < 2:
            index = int(sizes.min(axis=1).argmin())
            height, width = images[index].shape[:2]
            raise ImageError(
                f"image {before + index}: expected at least 2 x 2 pixels, got {height} x {width}"
            )
        thumbnails = thumbnail_batch(
            images,
            self.spec.thumbnail_size,
            input_size=self.spec.input_size,
            align_corners=self.spec.thumbnail_align_corners,
        )
        theta, score = self._localiser.localise(thumbnails, sizes)
        measures = measure_text_lines(pixels_from_normalised(theta, sizes[:, None]))
        applied = (score >= self.threshold).tolist()
        chosen = [index for index, straighten in enumerate(applied) if straighten]
        self._expect_samplable(images, chosen)
        # Control points inside the edges of the output measure a part of it.
        part = 1 - self.spec.control_inset
        crops = self._crops(
            [images[index] for index in chosen],
            theta[chosen],
            measures.height[chosen] / part,
            measures.length[chosen] / part,
        )
        found = list(given)
        for index, crop in zip(chosen, crops, strict=True):
            found[index] = crop
        return [
            Rectified(
                image=crop,
                applied=straightened,
                score=sure,
                theta=points,
                source_size=(image.shape[0], image.shape[1]),
                spline=self._spline,
            )
            for crop, straightened, sure, points, image in zip(
                found, applied, score.tolist(), theta, images, strict=True
            )
        ]

    def _expect_samplable(self, images: list[Image], chosen: list[int]) -> None:
        for index in chosen:
            height, width = images[index].shape[:2]
            if max(height, width) > LONGEST_SIDE:
                raise ImageError(
                    f"image: expected sides of at most {LONGEST_SIDE} pixels, got {height} x {width}; cut it "
                    "into parts"
                )

    def _crops(
        self,
        images: list[Image],
        theta: NDArray[np.float32],
        text_heights: NDArray[np.floating[Any]],
        text_lengths: NDArray[np.floating[Any]],
    ) -> list[Image]:
        """Straightened crops. Heights and lengths are those of the output's edges in the source, pixels."""
        if self._size is None:
            sizes = self._natural_sizes(text_heights, text_lengths)
        else:
            sizes = [self._size] * len(images)
        factors = supersampling(text_heights, sizes[0][0]) if sizes else []
        return sample_originals(
            images,
            theta,
            sizes,
            spline=self._spline,
            supersample=[
                min(factor, LONGEST_SIDE // max(size)) for factor, size in zip(factors, sizes, strict=True)
            ],
            exact=self._size is not None,
            fill=self.spec.fill,
        )

    def _natural_sizes(
        self, text_heights: NDArray[np.floating[Any]], text_lengths: NDArray[np.floating[Any]]
    ) -> list[Size]:
        """The chosen height, and the widths at which the arc length of the midline keeps its proportion."""
        aspects = np.minimum(text_lengths / np.maximum(text_heights, 1e-3), LARGEST_ASPECT)
        widths = np.clip(np.rint(self._height * aspects.astype(np.float64)), 4, LONGEST_SIDE)
        return [(self._height, int(width)) for width in widths.tolist()]
