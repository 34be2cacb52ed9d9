"""Folders, zips and LMDBs give the same samples, and each defect one error that names it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.data import Dataset, Sample, open_dataset
from stn_deploy.errors import DatasetError, ImageError, MissingDependency

SHARED = Path(__file__).parents[3] / "shared" / "data"
QUAD = "0,1.5,20,1,19,12,1,11"
NAMES = ["word_1.png", "deep/word_2.png", "wörter/ß.png"]
TEXTS = ["STOP", 'say "hi"\u2028', "größer"]
LABELS = f"file\twidth\ttext\tquad\n{NAMES[0]}\t21\t{TEXTS[0]}\t{QUAD}\n" + "".join(
    f"{name}\t21\t{text}\t\n" for name, text in zip(NAMES[1:], TEXTS[1:], strict=True)
)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (13, 21, 3)).astype(np.uint8)


def png(seed: int) -> bytes:
    ok, data = cv2.imencode(".png", picture(seed))
    assert ok
    return data.tobytes()


PNGS = {name: png(seed) for seed, name in enumerate(NAMES)}


def folder(path: Path, labels: str | bytes | None = LABELS) -> Path:
    for name, data in PNGS.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    if labels is not None:
        (path / "labels.tsv").write_bytes(labels if isinstance(labels, bytes) else labels.encode())
    return path


def zipped(path: Path, labels: str | bytes | None = LABELS) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PNGS.items():
            archive.writestr(name, data)
        if labels is not None:
            archive.writestr("labels.tsv", labels)
    return path


def lmdb_folder(path: Path, entries: dict[str, bytes] | None = None) -> Path:
    lmdb = pytest.importorskip("lmdb", reason="needs lmdb, of the extra ocr")
    if entries is None:
        entries = {"num-samples": b"3"}
        for number, (data, text) in enumerate(zip(PNGS.values(), TEXTS, strict=True), start=1):
            entries |= {f"image-{number:09d}": data, f"label-{number:09d}": text.encode()}
    path.mkdir()
    environment = lmdb.open(str(path), map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


Maker = Callable[[Path], Path]
KINDS = [
    pytest.param(folder, id="folder"),
    pytest.param(zipped, id="zip"),
    pytest.param(lmdb_folder, id="lmdb"),
]
LABELLED = KINDS[:2]


# --- what every kind does


@pytest.mark.parametrize("make", KINDS)
def test_samples_come_in_order_with_text_and_image(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset:
        assert len(dataset) == 3
        assert [sample.text for sample in dataset] == TEXTS
        assert [sample.load() for sample in dataset] == list(PNGS.values())
        for seed, sample in enumerate(dataset):
            assert np.array_equal(sample.image(), picture(seed))


@pytest.mark.parametrize("make", KINDS)
def test_indices_count_from_both_ends_and_stop(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset:
        assert dataset[0].text == dataset[-3].text == TEXTS[0]
        assert dataset[2].text == dataset[-1].text == TEXTS[2]
        for index in (3, -4):
            with pytest.raises(IndexError):
                dataset[index]


@pytest.mark.parametrize("make", LABELLED)
def test_samples_carry_names_and_quads(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset:
        assert [sample.name for sample in dataset] == NAMES
        quad = dataset[0].quad
        assert quad is not None
        assert quad.dtype == np.float32
        assert quad.tolist() == [[0, 1.5], [20, 1], [19, 12], [1, 11]]
        assert dataset[1].quad is dataset[2].quad is None


def test_samples_of_an_lmdb_are_named_by_their_key(tmp_path: Path) -> None:
    with open_dataset(lmdb_folder(tmp_path / "set")) as dataset:
        assert dataset[1].name == "image-000000002"
        assert dataset[1].quad is None


@pytest.mark.parametrize("make", [zipped, lmdb_folder], ids=["zip", "lmdb"])
def test_a_closed_dataset_says_so(make: Maker, tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path / "set"))
    sample = dataset[0]
    dataset.close()
    dataset.close()
    with pytest.raises(DatasetError, match="the dataset is closed; open it again"):
        sample.load()


@pytest.mark.parametrize("make", KINDS)
def test_a_dataset_may_be_opened_twice(make: Maker, tmp_path: Path) -> None:
    path = make(tmp_path / "set")
    with open_dataset(path) as first:
        with open_dataset(path) as second:
            assert first[0].load() == second[0].load()
        assert first[1].load() == PNGS[NAMES[1]]
    with open_dataset(path) as third:
        assert third[2].load() == PNGS[NAMES[2]]


@pytest.mark.parametrize("make", KINDS)
def test_threads_may_share_a_dataset(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset, ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda index: dataset[index % 3].load(), range(300)))
    assert loaded == list(PNGS.values()) * 100


@pytest.mark.parametrize("make", KINDS)
def test_datasets_and_samples_survive_pickling(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset:
        copy: Dataset = pickle.loads(pickle.dumps(dataset))
        sample: Sample = pickle.loads(pickle.dumps(dataset[1]))
    with copy:
        assert [sample.load() for sample in copy] == list(PNGS.values())
    assert np.array_equal(sample.image(), picture(1))


def read_many(dataset: Dataset) -> bool:
    return all(dataset[index % 3].load() == PNGS[NAMES[index % 3]] for index in range(300))


# CPython warns of a fork beside running threads; here no thread of ours runs.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs processes that may be forked")
@pytest.mark.parametrize("make", KINDS)
def test_forked_processes_may_share_a_dataset(make: Maker, tmp_path: Path) -> None:
    with open_dataset(make(tmp_path / "set")) as dataset:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=lambda: os._exit(not read_many(dataset))) for _ in range(2)]
        for child in children:
            child.start()
        assert read_many(dataset)
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0]


def test_a_broken_image_is_named_and_the_others_stay(tmp_path: Path) -> None:
    path = folder(tmp_path / "set")
    (path / NAMES[1]).write_bytes(b"")
    with open_dataset(path) as dataset:
        with pytest.raises(ImageError, match=f"^{NAMES[1]}: the file is empty$"):
            dataset[1].image()
        assert np.array_equal(dataset[2].image(), picture(2))


# --- labels.tsv


@pytest.mark.parametrize("make", [folder, zipped], ids=["folder", "zip"])
def test_labels_tolerate_a_mark_other_line_ends_and_blank_lines(
    make: Callable[[Path, bytes], Path], tmp_path: Path
) -> None:
    labels = "\ufeff" + LABELS.replace("\n", "\r\n") + "\r\n\n"
    with open_dataset(make(tmp_path / "set", labels.encode())) as dataset:
        assert [sample.text for sample in dataset] == TEXTS


def test_labels_without_a_last_line_break_and_with_columns_in_any_order(tmp_path: Path) -> None:
    labels = f"text\tnote\tfile\nA\tx\t{NAMES[0]}\n\ty\t{NAMES[1]}"
    with open_dataset(folder(tmp_path / "set", labels)) as dataset:
        assert [(sample.name, sample.text) for sample in dataset] == [(NAMES[0], "A"), (NAMES[1], "")]


DEFECTS: dict[str, tuple[str | bytes, str]] = {
    "other columns": ("file\tlabel\n", "labels.tsv: expected the columns file and text, got file, label"),
    "no header": (f"{NAMES[0]}\tSTOP\n", f"expected the columns file and text, got {NAMES[0]}, STOP"),
    "nothing": ("", "labels.tsv: expected the columns file and text, got none"),
    "a column twice": ("file\ttext\ttext\n", "expected different columns, got file, text, text"),
    "no rows": ("file\ttext\n\n", "labels.tsv: expected at least one sample, got none"),
    "a short row": (f"file\ttext\n{NAMES[0]}\tA\n\n{NAMES[1]}\n", "line 4: expected 2 columns, got 1"),
    "a long row": (f"file\ttext\n{NAMES[0]}\tA\tB\n", "line 2: expected 2 columns, got 3"),
    "an absent file": ("file\ttext\ngone.png\tA\n", "gone.png is listed in labels.tsv but absent"),
    "no file": ("file\ttext\n\tA\n", "line 2: expected a file inside the dataset, got ''"),
    "another encoding": (b"file\ttext\na.png\t\xe9\n", "labels.tsv: expected UTF-8, got byte 0xe9"),
}
OUTSIDE = ["../out.png", "/etc/passwd", "a/../../out.png", "..\\out.png", "C:\\out.png", "\\\\host\\out.png"]
QUADS = ["1,2,3", "0,0,1,0,1,1,0,x", "0,0,1,0,1,1,0,nan", "0,0,1,0,1,1,0,1,2", "0 0 1 0 1 1 0 1"]


@pytest.mark.parametrize("make", [folder, zipped], ids=["folder", "zip"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_labels_is_named(
    make: Callable[[Path, str | bytes], Path], defect: str, tmp_path: Path
) -> None:
    labels, message = DEFECTS[defect]
    path = make(tmp_path / "set", labels)
    with pytest.raises(DatasetError) as refused:
        open_dataset(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_outside_the_dataset_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(png(0))
    with pytest.raises(DatasetError, match="line 3: expected a file inside the dataset, got"):
        open_dataset(folder(tmp_path / "set", f"file\ttext\n{NAMES[0]}\tA\n{name}\tB\n"))


@pytest.mark.parametrize("quad", QUADS)
def test_a_bad_quad_is_named_with_its_line(quad: str, tmp_path: Path) -> None:
    labels = f"file\tquad\ttext\n{NAMES[0]}\t{QUAD}\tA\n{NAMES[1]}\t{quad}\tB\n"
    with pytest.raises(DatasetError) as refused:
        open_dataset(folder(tmp_path / "set", labels))
    expected = f"line 3: quad: expected eight numbers x1,y1,...,x4,y4, got {quad!r}"
    assert str(refused.value).endswith(expected)


def test_samples_carry_points(tmp_path: Path) -> None:
    labels = f"points\tfile\ttext\n0,1,5,0.5,9,1,0,7,5,6,9,7\t{NAMES[0]}\tA\n\t{NAMES[1]}\tB\n"
    with open_dataset(folder(tmp_path / "set", labels)) as dataset:
        points = dataset[0].points
        assert points is not None
        assert points.dtype == np.float32
        assert points.tolist() == [[0, 1], [5, 0.5], [9, 1], [0, 7], [5, 6], [9, 7]]
        assert dataset[1].points is dataset[0].quad is None


@pytest.mark.parametrize("points", [QUAD[:-3], QUAD + ",1,2", "0,0,1,0,1,1,0,x", "0,0,1,0,1,1,0,inf", "1,2"])
def test_bad_points_are_named_with_their_line(points: str, tmp_path: Path) -> None:
    labels = f"file\tpoints\ttext\n{NAMES[0]}\t{points}\tA\n"
    with pytest.raises(DatasetError) as refused:
        open_dataset(folder(tmp_path / "set", labels))
    assert "line 2: points: expected x1,y1,x2,y2,... of at least 4 points, half along" in str(refused.value)
    assert str(refused.value).endswith(f"got {points!r}")


# --- the containers


@pytest.mark.parametrize("make", [folder, zipped], ids=["folder", "zip"])
def test_missing_labels_are_named(make: Callable[[Path, None], Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected labels\.tsv at the top, found none"):
        open_dataset(make(tmp_path / "set", None))


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: no such dataset; expected a folder, a zip or an LMDB"):
        open_dataset(tmp_path / "nowhere")


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"hello")
    with pytest.raises(DatasetError, match=r"set\.zip: expected a folder or a zip, got a damaged zip"):
        open_dataset(tmp_path / "set.zip")


def test_a_truncated_zip_is_refused_at_any_length(tmp_path: Path) -> None:
    path = zipped(tmp_path / "set")
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(DatasetError, match=r"set\.zip: expected a folder or a zip"):
            open_dataset(path)


def test_a_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "set")
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF  # inside the first image
    path.write_bytes(data)
    with open_dataset(path) as dataset:
        with pytest.raises(DatasetError, match=r"set\.zip: word_1\.png cannot be unpacked"):
            dataset[0].load()
        assert dataset[1].load() == PNGS[NAMES[1]]


LMDB_DEFECTS: dict[str, tuple[dict[str, bytes], str]] = {
    "no count": ({"image-000000001": b""}, "expected the key num-samples, found none"),
    "a bad count": ({"num-samples": b"many"}, "num-samples: expected a number above 0, got 'many'"),
    "nothing": ({"num-samples": b"0"}, "num-samples: expected a number above 0, got '0'"),
}


@pytest.mark.parametrize("defect", LMDB_DEFECTS)
def test_a_defect_of_an_lmdb_is_named(defect: str, tmp_path: Path) -> None:
    entries, message = LMDB_DEFECTS[defect]
    path = lmdb_folder(tmp_path / "set", entries)
    with pytest.raises(DatasetError) as refused:
        open_dataset(path)
    assert str(refused.value) == f"{path}: {message}"


def test_missing_and_undecodable_keys_of_an_lmdb_are_named(tmp_path: Path) -> None:
    entries = {"num-samples": b"3", "label-000000001": b"A", "label-000000002": b"\xff"}
    with open_dataset(lmdb_folder(tmp_path / "set", entries)) as dataset:
        with pytest.raises(DatasetError, match="expected the key image-000000001, found none"):
            dataset[0].load()
        with pytest.raises(DatasetError, match="label-000000002: expected UTF-8"):
            dataset[1]
        with pytest.raises(DatasetError, match="expected the key label-000000003, found none"):
            dataset[2]


@pytest.mark.parametrize("size", [0, 100, 5000, -4096])
def test_a_truncated_lmdb_is_refused(size: int, tmp_path: Path) -> None:
    path = lmdb_folder(tmp_path / "set")
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data[:size])
    with pytest.raises(DatasetError, match="the LMDB cannot be opened|data.mdb is truncated"):
        open_dataset(path)


def test_a_missing_lmdb_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").touch()
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(MissingDependency, match=r"lmdb is not installed; .*'\.\[ocr\]' in the checkout"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(("name", "count"), [("icdar2015_test", 2077), ("svt_test", 647)])
def test_real_datasets_open(name: str, count: int) -> None:
    path = SHARED / f"{name}.zip"
    if not path.exists():
        pytest.skip(f"needs {path.name} in shared/data beside the checkout")
    with open_dataset(path) as dataset:
        assert len(dataset) == count
        assert all((sample.quad is not None) == name.startswith("icdar") for sample in dataset)
