"""Folders of images: every file is done, copied or reported, and each has its line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.data import find_images, read_image
from stn_deploy.geometry import control_point_targets, pixels_from_normalised
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.folder import LINES, SHEET, FileResult, other_images, rectify_files
from tests.pictures import smooth
from tests.unit.conftest import Knowing


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four images, one of them in a folder, and between them four files that are none."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for index, name in enumerate(("a.png", "c.jpg", "deep/e.webp", "z.bmp")):
        assert cv2.imwrite(str(folder / name), smooth(30 + index, 80 + 7 * index, seed=index))
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "f.png").write_text("not an image")
    assert cv2.imwrite(str(folder / "g.png"), smooth(30, 80)[:1, :1])
    return folder


BAD = {"b.png", "d.jpg", "f.png", "g.png"}


def lines_of(folder: Path) -> dict[str, dict]:
    lines = [json.loads(line) for line in (folder / LINES).read_text(encoding="utf-8").splitlines()]
    assert len({line["file"] for line in lines}) == len(lines)
    return {line["file"]: line for line in lines}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_bad_files_in_the_middle_do_not_stop_the_rest(source: Path, model: Path, tmp_path: Path) -> None:
    output, seen = tmp_path / "new" / "out", list[FileResult]()
    found = find_images([source])
    failures = rectify_files(found, Rectifier(model, threshold=0), output, done=seen.append)
    assert failures == len(BAD)
    assert files_of(output) == {"a.png", "c.jpg", "deep/e.webp", "z.bmp", LINES}
    assert [result.source for result in seen] == found
    lines = lines_of(output)
    assert list(lines) == [image.relative.as_posix() for image in found]
    assert {name for name, line in lines.items() if "error" in line} == BAD
    assert all(Path(name).name in lines[name]["error"] for name in BAD)


def test_the_lines_say_what_became_of_each_file(source: Path, model: Path, tmp_path: Path) -> None:
    rectifier = Rectifier(model, threshold=0, height=31)
    rectify_files(find_images([source]), rectifier, tmp_path / "out")
    for name, line in lines_of(tmp_path / "out").items():
        if name in BAD:
            assert line.keys() == {"file", "error"}
            continue
        original = read_image(source / name)
        result = rectifier(original)
        written = cv2.imread(str(tmp_path / "out" / line["output"]))
        assert written is not None
        assert line["applied"] is True
        assert line["size"] == list(written.shape[:2]) == list(result.image.shape[:2])
        assert line["source_size"] == list(original.shape[:2])
        assert abs(line["score"] - result.score) < 1e-3
        points = pixels_from_normalised(result.theta, original.shape[:2])
        assert np.abs(np.array(line["control_points"]) - points).max() < 0.05
        lossless = Path(name).suffix in (".png", ".bmp")
        assert np.abs(written.astype(int) - result.image).max() <= (1 if lossless else 40)


def test_files_that_need_no_straightening_are_copied_byte_for_byte(
    source: Path, model: Path, tmp_path: Path
) -> None:
    rectify_files(find_images([source]), Rectifier(model, threshold=1), tmp_path / "out")
    for name, line in lines_of(tmp_path / "out").items():
        if name not in BAD:
            assert line["applied"] is False
            assert line["output"] == name
            assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()


def test_more_files_than_one_batch_keep_their_order_and_their_results(
    knowing: Knowing, tmp_path: Path
) -> None:
    source, count = tmp_path / "in", 70
    source.mkdir()
    for index in range(count):
        image = np.full((6, 10 + index, 3), index, np.uint8)
        assert cv2.imwrite(str(source / f"{index}.png"), image)
    (source / "33.png").write_bytes(b"bad")
    rectifier = knowing(control_point_targets(20), size=(5, 8))
    assert rectify_files(find_images([source]), rectifier, tmp_path / "out") == 1
    for index in set(range(count)) - {33}:
        written = cv2.imread(str(tmp_path / "out" / f"{index}.png"))
        assert written is not None
        assert (written == index).all()
        assert lines_of(tmp_path / "out")[f"{index}.png"]["source_size"] == [6, 10 + index]


def test_large_images_are_refused_by_their_header(source: Path, model: Path, tmp_path: Path) -> None:
    failures = rectify_files(
        find_images([source]), Rectifier(model, threshold=0), tmp_path / "out", max_megapixels=0.0028
    )
    lines = lines_of(tmp_path / "out")
    assert failures == len(BAD) + 2
    assert "megapixels" in lines["deep/e.webp"]["error"]
    assert "error" not in lines["a.png"]


def test_formats_that_cannot_be_written_become_png(knowing: Knowing, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.gif", "b.ppm", "b.png", "c.dib", "D.JPG"):
        data = cv2.imencode(Path(name).suffix.lower().replace("dib", "bmp"), smooth(30, 80))[1]
        (source / name).write_bytes(data.tobytes())
    rectify_files(find_images([source]), knowing(control_point_targets(20)), tmp_path / "out")
    assert files_of(tmp_path / "out") == {"a.png", "b.ppm.png", "b.png", "c.png", "D.JPG", LINES}


def test_two_files_never_share_one_result(knowing: Knowing, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for value, name in ((10, "a.gif"), (200, "a.ppm")):
        assert cv2.imwrite(str(source / name), np.full((20, 60, 3), value, np.uint8))
    rectify_files(find_images([source]), knowing(control_point_targets(20)), tmp_path / "out")
    outputs = {name: line["output"] for name, line in lines_of(tmp_path / "out").items()}
    for value, name in ((10, "a.gif"), (200, "a.ppm")):
        written = cv2.imread(str(tmp_path / "out" / outputs[name]))
        assert written is not None
        assert abs(int(written.mean()) - value) <= 1, outputs


def test_images_that_are_neither_results_nor_inputs_are_counted(
    source: Path, model: Path, tmp_path: Path
) -> None:
    output, found = tmp_path / "out", find_images([source])
    assert other_images(output, []) == 0
    rectify_files(found, Rectifier(model, threshold=1), output)
    listed = {line["output"] for line in lines_of(output).values() if "output" in line}
    assert other_images(output, listed) == 0
    (output / SHEET).write_bytes(b"of an earlier run, like every sheet")
    assert other_images(output, listed) == 0
    assert other_images(output, listed - {"a.png", "deep/e.webp"}) == 2
    assert other_images(tmp_path, {f"out/{name}" for name in listed}, inputs=found) == 1  # the sheet below


def test_a_second_run_replaces_the_first(source: Path, model: Path, tmp_path: Path) -> None:
    output, found = tmp_path / "out", find_images([source])
    rectify_files(found, Rectifier(model, threshold=0), output)
    first = {name: (output / name).read_bytes() for name in files_of(output) - {LINES}}
    rectify_files(found[:1], Rectifier(model, threshold=1), output)
    assert list(lines_of(output)) == ["a.png"]
    assert (output / "a.png").read_bytes() == (source / "a.png").read_bytes()
    assert (output / "c.jpg").read_bytes() == first["c.jpg"]


def test_photographs_are_turned_by_their_exif_orientation_on_request(model: Path, tmp_path: Path) -> None:
    """What is straightened is turned, what is copied keeps its bytes, and a later run tells both apart."""
    pil = pytest.importorskip("PIL.Image", reason="needs Pillow to write EXIF")
    image, exif = smooth(40, 90), pil.Exif()
    exif[274] = 6
    (tmp_path / "in").mkdir()
    pil.fromarray(image[..., ::-1].copy()).save(tmp_path / "in" / "phone.png", exif=exif)
    found = find_images([tmp_path / "in"])
    turned, plain = (Rectifier(model, threshold=0, exif=exif) for exif in (True, False))
    assert rectify_files(found, turned, tmp_path / "turned") == 0
    assert rectify_files(found, plain, tmp_path / "plain") == 0
    assert lines_of(tmp_path / "turned")["phone.png"]["source_size"] == [90, 40]
    assert lines_of(tmp_path / "plain")["phone.png"]["source_size"] == [40, 90]
    crop = turned(tmp_path / "in" / "phone.png").image
    assert np.array_equal(read_image(tmp_path / "turned" / "phone.png"), crop)
    skipped: list[int] = []
    for rectifier in (turned, plain):
        rectify_files(found, rectifier, tmp_path / "turned", skip_existing=True, begun=skipped.append)
    assert skipped == [1, 0]
    untouched = Rectifier(model, threshold=1, exif=True)
    assert rectify_files(found, untouched, tmp_path / "copied") == 0
    assert (tmp_path / "copied" / "phone.png").read_bytes() == (tmp_path / "in" / "phone.png").read_bytes()
