"""Bad input gets a clear error, loses nothing, and leaves nothing half-written."""

from __future__ import annotations

import json
import resource
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.artifact import METADATA_KEY, wire
from stn_deploy.runtime import DEFAULT_MODEL
from tests.system.conftest import SAMPLES, Run


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    good, buffer = cv2.imencode(suffix, image)
    assert good
    return buffer.tobytes()


def bad_file(kind: str, arch: np.ndarray) -> tuple[str, bytes]:
    """Name and bytes of a file that cannot be used."""
    whole = encoded(arch, ".jpg")
    return {
        "unreadable": ("bad.jpg", b"this is no image at all"),
        "empty": ("bad.jpg", b""),
        "truncated": ("bad.jpg", whole[: len(whole) // 2]),
        "truncated png": ("bad.png", encoded(arch)[:-20]),
        "1x1": ("bad.png", encoded(arch[:1, :1])),
        "100 megapixels": ("bad.png", encoded(np.zeros((10_000, 10_000), np.uint8))),
    }[kind]


REASONS = {
    "unreadable": "format",
    "empty": "empty",
    "truncated": "truncated",
    "truncated png": "truncated",
    "1x1": "at least 2 x 2",
    "100 megapixels": "at most 50 megapixels, got 100.0",
}


@pytest.mark.parametrize("kind", REASONS)
def test_one_bad_file_in_a_folder_spoils_nothing(
    run: Run, photographs: Path, arch: np.ndarray, tmp_path: Path, kind: str
) -> None:
    name, data = bad_file(kind, arch)
    (photographs / f"m_{name}").write_bytes(data)
    done = run("rectify", photographs, "-o", "out")
    assert done.returncode == 1
    assert f"m_{name}" in done.stderr
    assert REASONS[kind] in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out/rectified.jsonl").read_text().splitlines()]
    assert [("error" in line, line["file"]) for line in lines] == [
        (False, "a_first.jpg"),
        (True, f"m_{name}"),
        (False, "z_last.jpg"),
    ]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a_first.jpg", "rectified.jsonl", "z_last.jpg"]


@pytest.mark.parametrize("kind", ["grey", "16 bit", "alpha"])
def test_unusual_but_whole_images_are_straightened(
    run: Run, photographs: Path, arch: np.ndarray, tmp_path: Path, kind: str
) -> None:
    picture = {
        "grey": cv2.cvtColor(arch, cv2.COLOR_BGR2GRAY),
        "16 bit": arch.astype(np.uint16) * 257,
        "alpha": np.dstack([arch, np.full(arch.shape[:2], 255, np.uint8)]),
    }[kind]
    (photographs / "m.png").write_bytes(encoded(picture))
    done = run("rectify", photographs, "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    applied = {line["file"]: line["applied"] for line in json.loads(done.stdout)}
    assert applied["m.png"] is applied["a_first.jpg"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "-o", "out"], "absent: no such file or folder"),
        (["photographs", "-o", "out", "--size", "32"], "--size: expected HEIGHTxWIDTH"),
        (["photographs", "-o", "out", "--height", "1"], "height: expected 4 to 4096"),
        (["photographs", "-o", "out", "--size", "32x100", "--height", "48"], "either a height or a size"),
        (["photographs", "-o", "out", "--threshold", "2"], "threshold: expected 0 to 1"),
        (["photographs", "-o", "out", "--model", "absent.onnx"], "absent.onnx: cannot be read"),
        (["photographs", "-o", "photographs"], "would write over its own input"),
        (["photographs", "-o", "photographs/a_first.jpg/out"], "name a folder"),
        (["photographs", "-o", "/proc/nothing/out"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    run: Run, photographs: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in photographs.iterdir()}
    done = run("rectify", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert {path: path.read_bytes() for path in photographs.iterdir()} == before


def damaged_models() -> dict[str, tuple[bytes, str]]:
    """Model files that must be refused, and what the message says."""
    whole = DEFAULT_MODEL.read_bytes()
    spec = json.loads(wire.metadata(whole)[METADATA_KEY])
    newer = wire.with_metadata(whole, METADATA_KEY, json.dumps({**spec, "format_version": 99}))
    foreign = wire.with_metadata(whole, METADATA_KEY, "{}")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    return {
        "not a model": (b"hello, this is a text file\n" * 50, "not an .onnx file, or damaged"),
        "truncated": (whole[: len(whole) // 2], "damaged"),
        "one bit flipped": (bytes(flipped), "damaged"),
        "another program's model": (
            b"".join(f.whole for f in wire.fields(whole) if f.number != 14),
            "stn-deploy export",
        ),
        "spec without fields": (foreign, "metadata is damaged"),
        "newer format": (newer, "format version 99 is newer than 2"),
    }


@pytest.mark.parametrize("kind", damaged_models() if DEFAULT_MODEL.exists() else [])
def test_a_model_that_cannot_be_trusted_is_refused(
    run: Run, photographs: Path, tmp_path: Path, kind: str
) -> None:
    data, message = damaged_models()[kind]
    (tmp_path / "model.onnx").write_bytes(data)
    for command in (["rectify", photographs, "-o", "out", "--model", "model.onnx"], ["info", "model.onnx"]):
        done = run(*command)
        assert done.returncode == 2
        assert "model.onnx" in done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_dataset_without_a_column_is_refused(
    run: Run, photographs: Path, tmp_path: Path, as_zip: bool
) -> None:
    (photographs / "labels.tsv").write_text("file\tlabel\na_first.jpg\tBakery\n")
    dataset = photographs
    if as_zip:
        dataset = tmp_path / "set.zip"
        with zipfile.ZipFile(dataset, "w") as archive:
            for path in photographs.iterdir():
                archive.write(path, path.name)
    done = run("evaluate", dataset)
    assert done.returncode == 2
    assert "expected the columns file and text" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_named_and_leaves_no_half_file(run: Run, photographs: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the first crop fits, the second does not."""
    small, large = (SAMPLES / "arch.jpg").read_bytes(), np.random.default_rng(0)
    noise = encoded(large.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    (photographs / "m_large.png").write_bytes(noise)
    assert len(noise) > 100_000 > len(small)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("rectify", photographs, "-o", "out", "--threshold", "1", preexec_fn=limit)
    assert done.returncode == 2
    assert "m_large.png: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a_first.jpg", "rectified.jsonl"]
    lines = (tmp_path / "out/rectified.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["a_first.jpg"]


def test_training_and_export_refuse_bad_arguments(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "wrong.safetensors").write_bytes(b"\x80\x04pickled")
    cases = [
        (["train", "--recipe", "huge", "-o", "runs"], "expected one of tiny, default"),
        (["train", "--recipe", "tiny", "-o", "file/runs"], "cannot be written"),
        (["train", "--recipe", "tiny", "-o", "runs", "--data", "absent"], "absent"),
        (["export", "absent.safetensors", "-o", "m.onnx"], "no such file"),
        (["export", "wrong.safetensors", "-o", "m.onnx"], "not a readable safetensors file"),
        (
            ["export", "x", "-o", "m.onnx", "--function", "drop"],
            "expected one of keep, inline, strip, got 'drop'",
        ),
        (["export", "x", "-o", "m.onnx", "--batch", "0"], "batch: expected 1 to 32768, got 0"),
        (["export", "x", "-o", "m.onnx", "--canvas", "64"], "--canvas: expected HEIGHTxWIDTH in pixels"),
        (["export", "x", "-o", "m.onnx", "--size", "0x9"], "--size: expected HEIGHTxWIDTH in pixels"),
        (["export", "x", "-o", "m.onnx", "--opset", "20"], "opset: expected 18 or 19, got 20"),
        (["verify", "--data", "absent"], "absent"),
        (["verify", "--engine", "absent.engine"], "absent.engine"),
    ]
    for arguments, message in cases:
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.onnx").exists()
