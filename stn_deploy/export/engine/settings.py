"""How an engine is to be built, and what each library can do of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from stn_deploy.artifact import Profile
from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.engines.libraries import Library

PLUGIN = ("auto", "on", "off")
RTX_TARGETS = ("8.0", "8.6", "8.9", "12.0")
"""GPUs that an engine of TensorRT-RTX runs on by default, and newer ones: NVIDIA's documentation, "CPU-only
AOT". 7.5 would cost speed on the others and must be asked for."""


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Settings of one build.

    profile: sizes of the input; by default 1 to 64 images on canvases of 32 x 32 to 256 x 1024 pixels, and
        what is fixed where the file has a fixed batch or canvas.
    compute_capabilities: of the GPUs to build for, such as 8.6; TensorRT-RTX only. By default 8.0 and
        newer, all in one engine.
    plugin: "off" takes the standard operators. "on" takes our fused kernel or fails: of the library that is
        given or loaded, else stored in the engine from TensorRT 10.9 on, else of a library that is found or
        built. "auto" takes it where a library is given or loaded, and not otherwise: whether it is faster
        than TensorRT's own sampling has not been measured by this project on a GPU yet.
    plugin_library: the compiled plugin; by default what STN_DEPLOY_PLUGIN_LIBRARY names.
    workspace: MiB of scratch memory that a layer may use, at least 1; None for no limit.
    timing_cache: file of measured kernel times, read if there and written back; TensorRT only.
    hardware_compatible: the engine also runs on other GPUs of compute capability 8.0 or newer.
    version_compatible: the engine also runs in newer versions of TensorRT, up to the next major one.
    """

    profile: Profile | None = None
    compute_capabilities: tuple[str, ...] = ()
    plugin: str = "auto"
    plugin_library: Path | None = None
    workspace: int | None = None
    timing_cache: Path | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False

    def __post_init__(self) -> None:
        if self.plugin not in PLUGIN:
            raise ArgumentError(f"plugin: expected one of {', '.join(PLUGIN)}, got {self.plugin!r}")
        if self.plugin == "off" and self.plugin_library is not None:
            raise ArgumentError(
                f"plugin: expected on or auto with the library {self.plugin_library}, got off"
            )
        for item in self.compute_capabilities:
            if not re.fullmatch(r"\d{1,2}\.\d", str(item)):
                raise ArgumentError(f"compute capability: expected a text such as 8.6, got {item!r}")
        if len(set(self.compute_capabilities)) < len(self.compute_capabilities):
            raise ArgumentError(
                f"compute capability: one comes twice: {', '.join(self.compute_capabilities)}"
            )
        if self.workspace is not None and not 1 <= self.workspace <= 1 << 20:
            raise ArgumentError(f"workspace: expected 1 to {1 << 20} MiB, got {self.workspace!r}")

    def expect_of(self, library: Library) -> None:
        """Check that a library can do what is asked.

        Raises:
            ArgumentError: it cannot; the message says why, and what to ask for instead.
        """
        if library.name == "tensorrt" and self.compute_capabilities:
            raise ArgumentError(
                "compute capability: TensorRT builds for the GPU of this machine; expected none, got "
                f"{', '.join(self.compute_capabilities)}; ask for hardware compatibility, or build with "
                "tensorrt-rtx"
            )
        if library.name == "tensorrt-rtx":
            self._expect_of_rtx(library)

    def _expect_of_rtx(self, library: Library) -> None:
        if self.plugin == "on" or self.plugin_library is not None:
            raise ArgumentError(
                "plugin: TensorRT-RTX has no plugins and fuses the standard operators itself; expected off "
                "or auto, or TensorRT itself: --backend tensorrt"
            )
        if self.timing_cache is not None:
            raise ArgumentError(
                "timing cache: TensorRT-RTX times nothing while it builds, it chooses kernels on the GPU "
                "that runs them; expected none"
            )
        if self.hardware_compatible:
            raise ArgumentError(
                "hardware compatible: an engine of TensorRT-RTX runs on every GPU that it is built for; name "
                "them by their compute capability instead"
            )
        if self.version_compatible:
            raise ArgumentError(
                "version compatible: an engine of TensorRT-RTX belongs to the release that built it; build "
                "it again, which takes a second"
            )
        known = rtx_targets(library)
        wrong = [item for item in self.compute_capabilities if item not in known]
        if wrong:
            raise ArgumentError(
                f"compute capability: TensorRT-RTX {library.version} builds for {', '.join(known)}; "
                f"got {', '.join(wrong)}"
            )


def profile_for(model: ModelProto, profile: Profile | None) -> Profile:
    """The sizes that a file is built for.

    Args:
        profile: asked for; None for the default.
    Raises:
        ArgumentError: the file has a fixed batch or canvas, and another one is asked for.
    """
    (images,) = (value for value in model.graph.input if value.name == "images")
    batch, height, width, _ = (dim.dim_value or None for dim in images.type.tensor_type.shape.dim)
    chosen = Profile() if profile is None else profile
    batches, canvases = chosen.batch, chosen.canvas
    if batch:
        batches = (batch,) * 3
    if height or width:
        (low_h, low_w), (usual_h, usual_w), (high_h, high_w) = canvases
        canvases = (
            (height or low_h, width or low_w),
            (height or usual_h, width or usual_w),
            (height or high_h, width or high_w),
        )
    fixed = Profile(batch=batches, canvas=canvases)
    if profile is not None and fixed != profile:
        (wanted_batch, wanted_canvas), (has_batch, has_canvas) = profile.texts(), fixed.texts()
        raise ArgumentError(
            f"profile: the file is frozen; expected batch {has_batch} and canvas {has_canvas}, got "
            f"{wanted_batch} and {wanted_canvas}; leave the sizes out, or export without freezing"
        )
    return fixed


def rtx_targets(library: Library) -> dict[str, str]:
    """Compute capabilities that a TensorRT-RTX can build for, and their names in its enumeration."""
    names = [name for name in dir(library.trt.ComputeCapability) if re.fullmatch(r"SM\d+", name)]
    found = {f"{int(name[2:]) // 10}.{int(name[2:]) % 10}": name for name in names}
    return dict(sorted(found.items(), key=lambda item: float(item[0])))
