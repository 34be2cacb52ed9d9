"""The rectifier as users meet it: images in, straightened images out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.artifact import RectifierSpec, read_artifact, read_record
from stn_deploy.data import MAX_MEGAPIXELS, as_bgr
from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.batches import BATCH_PIXELS, Loaded, batches, checked_errors, or_raised
from stn_deploy.runtime.cropping import Cropper, checked_output, is_whole
from stn_deploy.runtime.engines.choice import is_engine_file, start_engine
from stn_deploy.runtime.float_batch import Channels, FloatBatch
from stn_deploy.runtime.inputs import Failure, Picture, PictureReader, is_picture, without_frames
from stn_deploy.runtime.network import Network
from stn_deploy.runtime.polygons import Region
from stn_deploy.runtime.regions import RegionStraightener
from stn_deploy.runtime.result import Rectified
from stn_deploy.runtime.straightening import straighten

if TYPE_CHECKING:
    from stn_deploy.runtime.engines.device_batch import DeviceBatch

_WEIGHTS = Path(__file__).parent.parent / "weights"
DEFAULT_MODEL = _WEIGHTS / "rectifier.onnx"
"""The rectifier that ships with the package."""
INT8_MODEL = _WEIGHTS / "rectifier.int8.onnx"
"""The same in INT8: almost twice as fast on CPUs with VNNI (x86) or dot products (ARM)."""
_SHIPPED = {"float32": DEFAULT_MODEL, "int8": INT8_MODEL}
Outcome: TypeAlias = Rectified | Failure
Raise: TypeAlias = Literal["raise"]
Keep: TypeAlias = Literal["keep"]


def _model_path(model: str | Path | None, precision: object) -> Path:
    """The file of a model, or the shipped one of a precision."""
    if model is not None:
        if precision is not None:
            raise ArgumentError(
                f"precision: expected none beside a model, which has its own, got {precision!r}; "
                "stn-deploy export --precision writes another"
            )
        return Path(model)
    if precision is not None and precision not in tuple(_SHIPPED):
        raise ArgumentError(f"precision: expected {' or '.join(_SHIPPED)}, got {precision!r}")
    return _SHIPPED[str(precision or "float32")]


class Rectifier:
    """Straightens curved, tilted and perspective text; leaves straight text alone.

    On the CPU the localisation network looks at a thumbnail in ONNX Runtime, and OpenCV samples the crop from
    the original pixels, once; on a GPU the whole graph runs. Any number of threads may use one rectifier at
    the same time, and a fork of the process loads the network anew at its first call. Such a fork has to end
    with ``os._exit``, as the workers of multiprocessing do: at ``sys.exit`` ONNX Runtime waits for threads of
    the parent.

    Attributes:
        spec: what the model file says about itself.
        threshold: of the score; below it an image comes back as it is.
        reader: how images are read.
        engine: what runs the model, a `stn_deploy.runtime.engines.choice.EngineChoice`: ``kind`` is "cpu",
            "cuda" or "tensorrt", ``reason`` a sentence that says why, and why no faster one.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        precision: str | None = None,
        engine: str = "auto",
        height: int | None = None,
        size: tuple[int, int] | None = None,
        threshold: float | None = None,
        threads: int = 1,
        exif: bool = False,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        """Load a rectifier.

        Args:
            model: an .onnx file written by ``stn-deploy export``, or an engine by ``stn-deploy build``; the
                shipped one by default.
            precision: of the shipped network, "float32" or "int8": as many words right, control points that
                move by 0.005 text heights in the mean, and twice the speed on newer CPUs. Other models have
                their own.
            engine: "auto" takes TensorRT, CUDA or the CPU, the first that is here. On a GPU the whole graph
                runs, which finds theta and samples where ``size`` is that of the file; other crops are
                sampled on the CPU, as are regions. "cpu", "cuda" and "tensorrt" are taken or refused.
            height: of the crops, pixels, at the natural width of the straightened text, which is a multiple
                of a twelfth of the height; 48 by default.
            size: (height, width) of all straightened crops instead, for recognisers of fixed input size.
                Images that are left alone keep their own size here too.
            threshold: of the score, in [0, 1]; 0 straightens always. The model's own by default.
            threads: of the network, at least 1.
            exif: turn image files by their EXIF orientation first, as viewers do; pixels of the original,
                as in `Rectified.to_source`, are then those of the turned picture. By default pixels stay
                where the file has them.
            max_megapixels: image files that would decode to more are refused from their header.
        Raises:
            ArtifactError: the file is missing, not ours, too new, or damaged.
            ArgumentError: an argument out of range, or both a height and a size.
            EngineError: the engine that was asked for cannot run here.
            MissingDependency: onnxruntime, or what the engine needs, is not installed.
        """
        height, size = checked_output(height, size)
        if threshold is not None and not 0 <= threshold <= 1:
            raise ArgumentError(f"threshold: expected 0 to 1, got {threshold!r}")
        if not is_whole(threads) or threads < 1:
            raise ArgumentError(f"threads: expected at least 1, got {threads!r}")
        self.reader = PictureReader(exif=exif, max_megapixels=max_megapixels)
        path = _model_path(model, precision)
        data, spec = (None, read_record(path).spec) if is_engine_file(path) else read_artifact(path)
        self.spec: RectifierSpec = spec
        self.threshold = self.spec.threshold if threshold is None else threshold
        self._cropper = Cropper(self.spec, height, size)
        self._output: dict[str, object] = {"size": size} if size else {"height": height}
        running, self.engine = start_engine(path, data, spec, engine)
        self._network = Network(data, spec, threads=int(threads), engine=running)

    @property
    def settings(self) -> dict[str, object]:
        """All that a crop depends on beside its image, as JSON takes it."""
        drawn = {"threshold": float(self.threshold), "exif": self.reader.exif, **self._output}
        return {"model": self.spec.digest, **drawn}

    @overload
    def __call__(self, images: Picture, *, errors: Raise = ..., timings: bool = ...) -> Rectified: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, images: Picture, *, errors: Keep, timings: bool = ...) -> Outcome: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(
        self, images: Sequence[Picture], *, errors: Raise = ..., timings: bool = ...
    ) -> list[Rectified]: ...
    @overload
    def __call__(self, images: Sequence[Picture], *, errors: Keep, timings: bool = ...) -> list[Outcome]: ...
    @overload
    def __call__(
        self, images: Iterator[Picture], *, errors: Raise = ..., timings: bool = ...
    ) -> Iterator[Rectified]: ...
    @overload
    def __call__(
        self, images: Iterator[Picture], *, errors: Keep, timings: bool = ...
    ) -> Iterator[Outcome]: ...

    def __call__(
        self,
        images: Picture | Sequence[Picture] | Iterator[Picture],
        *,
        errors: Literal["raise", "keep"] = "raise",
        timings: bool = False,
    ) -> Outcome | Sequence[Outcome] | Iterator[Outcome]:
        """Straighten one image, a list, or an iterator.

        An iterator is read lazily, and its results come in order. In memory are up to 64 images at a time,
        fewer where they are large: a batch ends with the image that brings it to 32 megapixels.

        Args:
            images: arrays, (h, w, 3) BGR, (h, w) grey or (h, w, 4) BGRA, uint8 or uint16; paths; encoded
                image files as bytes or as open binary file objects; mixed at will.
            errors: "raise" at the first image that cannot be used, after the results of those before it
                where an iterator was given; "keep" to get the error in that image's place.
            timings: measure each image.
        Returns:
            a `Rectified`, a list of them, or an iterator over them; with "keep" an `ImageError` or
            `ArgumentError` (also a `ShapeError`) in the place of an image that cannot be used.
        Raises:
            ImageError: an image cannot be read, is damaged or too large, has a side under 2 pixels, or needs
                straightening and has one over 32766.
            ShapeError, ArgumentError: an array that is not an image; ``errors`` is neither.
            ClosedError: the rectifier is closed.
        """
        keep = checked_errors(errors)
        self._network.expect_open()
        if is_picture(images):
            alone = self._stream([cast(Picture, images)], timings=timings, alone=True)
            return next(alone if keep else or_raised(alone))
        if not isinstance(images, (Sequence, Iterator)):
            raise ArgumentError(
                "images: expected an array, a path, bytes or a file object, a list or an iterator of them, "
                f"got {type(images).__name__}; cv2.imread returns None for a file that it cannot read, "
                "np.asarray converts other pictures"
            )
        every = self._stream(cast(Iterable[Picture], images), timings=timings)
        outcomes = every if keep else or_raised(every)
        return list(outcomes) if isinstance(images, Sequence) else outcomes

    def _stream(self, images: Iterable[Picture], *, timings: bool, alone: bool = False) -> Iterator[Outcome]:
        for batch in batches(images, self.reader, alone=alone):
            yield from self._straightened(batch, timings=timings)

    def part(
        self,
        pictures: Sequence[Picture],
        *,
        first: int = 0,
        pixels: int = BATCH_PIXELS,
        timings: bool = False,
    ) -> list[Outcome]:
        """The first few of some pictures as one batch: what a thread of a `Pipeline` does at a time.

        Args:
            pictures: at least one. first: what messages call the first of them.
            pixels: the picture that brings the batch to so many is its last one; it has 64 at most.
        Returns:
            outcomes of as many as were taken, at least one.
        """
        self._network.expect_open()
        return self._straightened(
            next(batches(pictures, self.reader, first=first, pixels=pixels)), timings=timings
        )

    def _straightened(self, batch: list[Loaded | Failure], *, timings: bool) -> list[Outcome]:
        """The outcome of each image of a batch."""
        loaded = [each for each in batch if isinstance(each, Loaded)]
        if not loaded:
            return list(cast("list[Failure]", batch))
        results = straighten(
            loaded, self._network, self._cropper, self.spec, threshold=self.threshold, timings=timings
        )
        if len(loaded) == len(batch):
            return results
        made = iter(results)
        return [next(made) if isinstance(each, Loaded) else each for each in batch]

    @overload
    def regions(
        self, page: Picture, polygons: Iterable[ArrayLike], *, errors: Raise = ..., timings: bool = ...
    ) -> list[Rectified]: ...
    @overload
    def regions(
        self, page: Picture, polygons: Iterable[ArrayLike], *, errors: Keep, timings: bool = ...
    ) -> list[Outcome]: ...

    def regions(
        self,
        page: Picture,
        polygons: Iterable[ArrayLike],
        *,
        errors: Literal["raise", "keep"] = "raise",
        timings: bool = False,
    ) -> Sequence[Outcome]:
        """Straighten the regions that a text detector found on a page.

        The polygon is the first guess, the network refines it where it finds more to straighten, and the crop
        is sampled once, from the page. Where the network sees nothing to mend the polygon itself decides: a
        turned or bent one is straightened along its own edges (``applied`` is True, the score below the
        threshold), an upright box comes back as the pixels of the page under it.

        Args:
            page: as for one image.
            polygons: each (4, 2), clockwise from the text's top left, or (2m, 2), m points along the top edge
                left to right, then m back along the bottom edge; pixels of the page from its top left edge.
            errors: "raise" or "keep" what is wrong with a polygon; a page that cannot be used always raises.
            timings: measure each region; ``decode`` is that of the page.
        Returns:
            a `Rectified` for each polygon, in order; `to_source` and `to_rectified` map to the page.
        Raises:
            ShapeError, ArgumentError: a polygon that is crossed, against the clock, of no area, outside the
                page, not finite or of another shape; or the page is none.
            ImageError: the page cannot be used; see `Rectifier.__call__`.
            ClosedError: the rectifier is closed.
        """
        keep = checked_errors(errors)
        self._network.expect_open()
        (loaded,) = or_raised(next(batches([page], self.reader, alone=True)))
        extent = (loaded.pixels.shape[0], loaded.pixels.shape[1])
        outcomes: list[Failure | Region] = []
        for index, polygon in enumerate(polygons):
            try:
                outcomes.append(Region(polygon, extent, f"polygon {index}"))
            except ArgumentError as error:
                if not keep:
                    raise
                outcomes.append(without_frames(error))
        straighten = RegionStraightener(self.spec, self.threshold, self._cropper, self._network.localise)
        found = [each for each in outcomes if isinstance(each, Region)]
        results = iter(straighten(loaded, found, timings=timings))
        return [next(results) if isinstance(each, Region) else each for each in outcomes]

    def batch(
        self,
        images: Picture | Iterable[Picture],
        size: tuple[int, int],
        *,
        mean: ArrayLike = 127.5,
        scale: ArrayLike = 1 / 127.5,
        channel_order: Channels = "RGB",
    ) -> NDArray[np.float32]:
        """Straighten images into one batch for a recogniser: ``(pixels - mean) * scale``.

        Crops, straightened or left alone, keep their aspect at the batch's height: those that are narrower
        are padded on the right with 0, which is the mean; those that are wider are squeezed. A rectifier made
        with ``size=size`` stretches what it straightens over the whole width instead.

        Args:
            images: one or any number; their crops are in memory together.
            size: height and width of the batch, pixels.
            mean, scale: one number, or one for each channel in the order of ``channel_order``; pixels are
                0 to 255. By default the output lies in [-1, 1].
            channel_order: "RGB", "BGR", or "grey" for one channel.
        Returns:
            (n, 3, height, width), or (n, 1, height, width) for grey; float32, contiguous.
        Raises:
            ImageError, ShapeError, ArgumentError, ClosedError: as `Rectifier.__call__`, or a setting that is
                out of its range.
        """
        target = FloatBatch(size, mean, scale, channel_order)
        self._network.expect_open()
        alone = is_picture(images)
        given = cast(Iterable[Picture], [images] if alone else images)
        results = or_raised(self._stream(given, timings=False, alone=alone))
        return target.of([as_bgr(result.image) for result in results])

    def device_batch(self, images: Picture | Iterable[Picture]) -> DeviceBatch:
        """Straighten images for a recogniser on the GPU; nothing is copied back to the host.

        All are straightened, at the size of the file and scaled as its spec says. The work is queued, not
        waited for. What ``score`` finds straight is better resized from the original.

        Args:
            images: one or any number; they are in memory together.
        Returns:
            ``rectified`` (n, 3, h, w), ``theta`` and ``score``, each for ``torch.from_dlpack`` and its like.
        Raises:
            EngineError: the engine is the CPU, or the GPU fails.
            ImageError, ShapeError, ArgumentError, ClosedError: as `Rectifier.__call__`.
        """
        self._network.expect_open()
        alone = is_picture(images)
        given = cast(Iterable[Picture], [images] if alone else images)
        read = (or_raised(batch) for batch in batches(given, self.reader, alone=alone))
        return self._network.on_device([each.pixels for batch in read for each in batch], self.engine.reason)

    def close(self) -> None:
        """Let go of the network; calls that are running finish, later ones raise `ClosedError`."""
        self._network.close()

    def __enter__(self) -> Rectifier:
        """The rectifier itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
