"""Files of weights that lie about themselves: each is refused, and nothing of it stays behind."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stn_deploy.errors import ArtifactError
from stn_deploy.export.importing import open_weights
from stn_deploy.export.importing.arrays_only import load_arrays

SEEN = np.arange(6, dtype=np.float32).reshape(2, 3)


def compressed(folder: Path) -> tuple[Path, bytearray]:
    path = folder / "x.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).random((40, 50)))
    return path, bytearray(path.read_bytes())


def with_another_flag(folder: Path, local: int, central: int, value: int) -> Path:
    """An archive whose two headers say something else at a byte."""
    path, data = compressed(folder)
    data[local] = value
    data[data.find(b"PK\x01\x02") + central] = value
    path.write_bytes(data)
    return path


def with_damaged_numbers(folder: Path) -> Path:
    path, data = compressed(folder)
    for place in range(60, 900):
        data[place] ^= 0x5A
    path.write_bytes(data)
    return path


def with_a_huge_array(folder: Path) -> Path:
    header = io.BytesIO()
    said = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(header, said)
    path = folder / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue() + b"xx")
    return path


@pytest.mark.parametrize(
    "make",
    [
        with_damaged_numbers,
        with_a_huge_array,
        lambda folder: with_another_flag(folder, 6, 8, 1),
        lambda folder: with_another_flag(folder, 8, 10, 97),
    ],
    ids=["damaged numbers", "a huge array", "encrypted", "compressed in another way"],
)
def test_an_archive_that_lies_is_refused(make: object, tmp_path: Path) -> None:
    assert callable(make)
    with pytest.raises(ArtifactError, match=r"x\.npz: not a readable \.npz file"):
        open_weights(make(tmp_path))


def test_tensors_of_every_kind_of_float_are_read_and_others_passed_over(tmp_path: Path) -> None:
    plain = torch.from_numpy(SEEN)
    kinds = (torch.float8_e4m3fn, torch.bfloat16, torch.float16, torch.float64)
    content: dict[str, torch.Tensor] = {str(kind): plain.to(kind) for kind in kinds}
    content["negated"] = torch.complex(plain, plain).conj().imag
    content["complex"], content["whole"] = torch.complex(plain, plain), plain.long()
    torch.save(content, tmp_path / "x.pth")
    found = open_weights(tmp_path / "x.pth")
    assert found.keys() == {*map(str, kinds), "negated"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, -SEEN if name == "negated" else SEEN)


def test_a_container_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, object] = {"weight": torch.zeros(3)}
    endless["model"] = endless
    torch.save(endless, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match="expected weights by name, found none"):
        open_weights(tmp_path / "x.pth")


def test_names_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps({10**5000: SEEN, ("b",): SEEN, "a": SEEN}))
    assert list(load_arrays(path)) == ["a"]


def test_a_dictionary_whose_methods_were_replaced_is_read_as_a_dictionary(tmp_path: Path) -> None:
    """BUILD puts attributes on an OrderedDict: here another ``items``."""
    path = tmp_path / "x.pdparams"
    path.write_bytes(
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00items"
        b"cnumpy.core.multiarray\n_reconstruct\nsb."
    )
    assert load_arrays(path) == {}


def test_no_file_changes_the_reader_for_those_that_come_after_it(tmp_path: Path) -> None:
    """BUILD with slots sets any attribute of what it is given: here the defaults of ``_codecs.encode``."""
    path = tmp_path / "x.pdparams"
    encode = b"c_codecs\nencode\n"
    defaults = b"N}X\x0c\x00\x00\x00__defaults__X\x01\x00\x00\x00xX\x06\x00\x00\x00latin1\x86s\x86"
    path.write_bytes(b"\x80\x02}X\x01\x00\x00\x00a" + encode + defaults + b"bs.")
    assert load_arrays(path) == {}
    path.write_bytes(b"\x80\x02" + encode + b")R.")
    with pytest.raises(ArtifactError, match="missing 1 required positional argument"):
        load_arrays(path)
