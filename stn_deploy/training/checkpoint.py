"""A trained rectifier on disk: weights in safetensors, the spec in its metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from stn_deploy.artifact import METADATA_KEY, RectifierSpec
from stn_deploy.data import write_whole
from stn_deploy.errors import ArtifactError, OutputError
from stn_deploy.training.published import PUBLISHED, PublishedRectifier
from stn_deploy.training.rectifier import AnyRectifier, TextRectifier

_OTHER_KINDS = {
    ".onnx": ". It is a file that was exported already: verify and build take it",
    **dict.fromkeys(
        (".pth", ".pt", ".tar", ".bin", ".pdparams", ".npz"),
        ". The rectifier of a published recogniser is taken out of its weights by stn-deploy import",
    ),
}
"""What else a file may be that is taken for a checkpoint, by its suffix."""


def build_rectifier(spec: RectifierSpec) -> TextRectifier | PublishedRectifier:
    """The rectifier whose network a spec names, without weights.

    Raises:
        ArtifactError: the spec's localisation settings are those of no network here.
    """
    published = spec.localisation.get("network") == PUBLISHED
    return PublishedRectifier(spec) if published else TextRectifier(spec)


def save_checkpoint(rectifier: AnyRectifier, path: Path) -> None:
    """Write a checkpoint: all of it, or nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    weights = {name: value.contiguous() for name, value in rectifier.state_dict().items()}
    data = save(weights, metadata={METADATA_KEY: rectifier.spec.to_json()})
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path}: the checkpoint could not be written ({error})") from error


def load_checkpoint(path: Path) -> TextRectifier | PublishedRectifier:
    """Read a checkpoint; the rectifier comes back in evaluation mode.

    Raises:
        ArtifactError: not a checkpoint of ours, damaged, or of another architecture.
    """
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; expected a file in it, {path / 'checkpoint.safetensors'}")
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; expected a checkpoint.safetensors from stn-deploy train")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(
            f"{path}: not a readable safetensors file ({error}); expected a checkpoint from stn-deploy train"
            f"{_OTHER_KINDS.get(path.suffix.lower(), '')}"
        ) from error
    if METADATA_KEY not in metadata:
        raise ArtifactError(f"{path}: a safetensors file, but not a checkpoint of stn-deploy train")
    rectifier = build_rectifier(RectifierSpec.from_json(metadata[METADATA_KEY], name=str(path)))
    try:
        rectifier.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: the weights do not fit the architecture it names: {error}") from error
    return rectifier.eval()
