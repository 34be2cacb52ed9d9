"""A CUDA compiler without CUDA: it writes down what it is told, and its libraries say what they are.

    nvcc = write_nvcc(folder)     an executable folder/bin/nvcc
    headers = write_headers(folder, "10.9.0")

A file ``fails`` beside it lets it fail with those words, ``no_static`` where the C++ runtime is to be linked;
a file ``waits`` lets it wait until it is removed.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = """#!{python}
import json, os, re, sys, time
from pathlib import Path

here = Path(__file__).parent
words = sys.argv[1:]
if words == ["--version"]:
    print("Cuda compilation tools, release {short}, V{version}")
    sys.exit()
if words == ["--list-gpu-arch"]:
    print("\\n".join("compute_" + number for number in "{architectures}".split()))
    sys.exit()
with open(here / "calls", "a") as calls:
    calls.write(str(os.getpid()) + " " + " ".join(words) + "\\n")
with open(here / "temporary", "a") as temporary:
    temporary.write(os.environ["TMPDIR"] + "\\n")
while (here / "waits").exists():
    time.sleep(0.01)
if (here / "fails").exists():
    print((here / "fails").read_text())
    sys.exit(2)
if (here / "no_static").exists() and any("-static-libstdc++" in word for word in words):
    print("cannot find -lstdc++")
    sys.exit(1)
to = Path(words[words.index("-o") + 1])
if "-c" in words:
    said = dict(re.findall(r'-DSTN_DEPLOY_(\\w+)="([^"]*)"', "\\n".join(words)))
    header = Path(words[words.index("-isystem") + 1]) / "NvInferVersion.h"
    version = ".".join(re.findall(r"define NV_TENSORRT_(?:MAJOR|MINOR|PATCH) (\\d+)", header.read_text()))
    values = {{"format": 1, "tensorrt": version, "cuda": "{short}"}}
    values |= {{name.lower(): text for name, text in said.items()}}
    text = "stn_deploy plugin " + json.dumps(values) + chr(0) if said else "object "
    to.write_text(text)
else:
    to.write_bytes(b"\\x7fELF " + b"".join(Path(word).read_bytes() for word in words if word.endswith(".o")))
"""


def write_nvcc(folder: Path, version: str = "13.0.88", architectures: str = "75 80 86 90 120") -> Path:
    """A toolkit in a folder; its nvcc."""
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True, exist_ok=True)
    short = ".".join(version.split(".")[:2])
    nvcc.write_text(
        _SCRIPT.format(python=sys.executable, version=version, short=short, architectures=architectures)
    )
    nvcc.chmod(0o755)
    return nvcc


def calls_of(nvcc: Path) -> list[str]:
    """What it was told to compile and link."""
    calls = nvcc.with_name("calls")
    return calls.read_text().splitlines() if calls.exists() else []


def write_headers(folder: Path, version: str = "10.9.0", *, indirect: bool = False) -> Path:
    """TensorRT's headers in a folder, as far as their version; indirect: in the way of 10.13 and newer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "NvInfer.h").write_text("")
    lines = []
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True):
        lines += [f"#define TRT_{part}_ENTERPRISE {number}"] if indirect else []
        lines += [
            f"#define NV_TENSORRT_{part} {f'TRT_{part}_ENTERPRISE' if indirect else number} //!< {part}."
        ]
    (folder / "NvInferVersion.h").write_text("\n".join(lines))
    return folder
