"""Every ``stn-deploy`` command and the Python example in the documents run as they stand."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.engines.install import folder_of
from tests.system.conftest import ROOT, SAMPLES, Run


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("stn-deploy ")]


def make_inputs(folder: Path) -> None:
    """What the documents speak of: photo.jpg, page.jpg, more/, and crops/ and test_crops/ with labels."""
    (folder / "more").mkdir()
    (folder / "photo.jpg").write_bytes((SAMPLES / "arch.jpg").read_bytes())
    (folder / "page.jpg").write_bytes((ROOT / "docs" / "pages" / "cafe.jpg").read_bytes())
    flag = cv2.imread(str(SAMPLES / "flag.jpg"))
    assert flag is not None
    assert cv2.imwrite(str(folder / "more" / "other.png"), flag)
    make_crops(folder / "crops", range(12))
    make_crops(folder / "test_crops", range(12, 15))


def make_crops(folder: Path, numbers: range) -> None:
    folder.mkdir()
    rows = ["file\ttext\tquad"]
    for index in numbers:
        source = SAMPLES / f"straight_{index % 2 + 1}.jpg"
        image = cv2.imread(str(source))
        assert image is not None
        height, width = image.shape[:2]
        (folder / f"{index}.jpg").write_bytes(source.read_bytes())
        word = ("Entrance", "Room 214")[index % 2]
        quad = f"8,8,{width - 8},8,{width - 8},{height - 8},8,{height - 8}"
        rows.append(f"{index}.jpg\t{word}\t{quad}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_the_commands_of_a_page_run_in_their_order(page: str, run: Run, tmp_path: Path) -> None:
    make_inputs(tmp_path)
    found = commands(page)
    assert found, f"no command in {page}"
    if any(arguments[0] == "import" for arguments in found):
        from tests import published

        published.save(published.trba(), tmp_path)  # best_accuracy.pth
    for arguments in found:
        if arguments[0] in ("evaluate", "read"):
            pytest.importorskip("tesserocr", reason=f"{arguments[0]} needs the extra ocr")
        library = folder_of("tensorrt-rtx-1.7")
        if library is None and any(word.endswith(".engine") for word in arguments):
            continue  # this machine has no wheel of TensorRT-RTX
        done = run(*arguments, library=library if arguments[0] == "build" else None)
        assert done.returncode == 0, f"{page}: stn-deploy {shlex.join(arguments)}\n{done.stderr}"


def test_the_guide_measures_on_crops_that_it_did_not_train_on() -> None:
    found = commands("docs/guide.md")
    trained = {option for each in found if each[0] == "train" for option in each[1:]}
    measured = {each[1] for each in found if each[0] == "evaluate"}
    assert measured
    assert not measured & trained


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("README.md", "python")
    names: dict[str, object] = {"my_ocr": lambda image: f"{image.shape}"}
    exec(compile(example, "README.md", "exec"), names)
    assert names["text"]
    assert np.asarray(names["box"]).shape == (2, 2)


def test_the_python_example_of_the_guide_trains_on_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = pytest.importorskip("stn_deploy.training")
    make_inputs(tmp_path)
    labels = (tmp_path / "crops" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t")[:2] for line in labels]
    (tmp_path / "crops").rename(tmp_path / "words")
    text = "".join("\t".join(row) + "\n" for row in rows)
    (tmp_path / "words" / "labels.tsv").write_text(text, encoding="utf-8")
    asked: dict[str, object] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", lambda recipe, output, **options: asked.update(options))
    (example,) = [block for block in blocks("docs/guide.md", "python") if "stn_deploy.training" in block]
    names: dict[str, object] = {}
    exec(compile(example, "docs/guide.md", "exec"), names)
    assert [word.text for word in asked["texts"]] == ["Entrance"] * 6  # type: ignore[attr-defined]
    assert names["left_out"] == {"with characters in the label other than a-z, A-Z and 0-9": 6}


def test_the_python_example_of_the_guide_serves_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = [block for block in blocks("docs/guide.md", "python") if "batching_rectifier" in block]
    names: dict[str, object] = {}
    exec(compile(example, "docs/guide.md", "exec"), names)
    assert np.asarray(names["straight"]).ndim == 3
    assert "done=1" in capsys.readouterr().out


def test_the_python_example_of_the_guide_reads_a_stream() -> None:
    paths, read = sorted((ROOT / "samples").glob("*.jpg")), list[np.ndarray]()
    (example,) = [block for block in blocks("docs/guide.md", "python") if "Pipeline" in block]
    exec(compile(example, "docs/guide.md", "exec"), {"paths": iter(paths), "read": read.append})
    assert [image.ndim for image in read] == [3] * len(paths)


def test_the_python_examples_of_the_guide_embed_a_rectifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    section = text.split("## In a program of your own")[1].split("\n## ")[0]
    names: dict[str, object] = {}
    for example in re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        exec(compile(example, "docs/guide.md", "exec"), names)
    told = capsys.readouterr().out
    assert "skipped: image 1 (absent.jpg): the file cannot be read" in told
    assert "(2, 3, 32, 320) float32" in told


def test_the_python_example_of_the_guide_reads_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = [block for block in blocks("docs/guide.md", "python") if "read_regions" in block]
    names: dict[str, object] = {
        "my_detector": lambda page: [[[75, 360], [320, 363], [320, 400], [75, 397]]],
        "my_ocr": lambda image: f"{image.shape}",
    }
    exec(compile(example, "docs/guide.md", "exec"), names)
    assert ", 3) 1.0 [[75.0, 360.0]" in capsys.readouterr().out


def test_the_walk_through_the_spatial_transformer_runs_and_draws_its_pictures(tmp_path: Path) -> None:
    page = ROOT / "docs" / "spatial_transformer.md"
    draw = runpy.run_path(str(ROOT / "docs" / "draw.py"))
    names = draw["run_page"](page, tmp_path)
    assert names["loss"].item() < 0.25 * names["letter"].square().mean().item()
    shown = draw["pictures_of"](page)
    assert shown
    for name in shown:
        drawn, kept = cv2.imread(str(tmp_path / name)), cv2.imread(str(ROOT / "docs" / "images" / name))
        assert drawn is not None, f"{page.name} shows {name}, but does not draw it"
        assert kept is not None, f"docs/images/{name} is missing; run make picture"
        assert drawn.shape == kept.shape, f"docs/images/{name} is older than the page; run make picture"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/guide.md",
        "docs/artifact.md",
        "docs/spatial_transformer.md",
        "docker/README.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]
    assert missing == []


def test_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z]+)", "\n".join(blocks("README.md", "sh")), re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
