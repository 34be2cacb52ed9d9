"""Run .onnx files in the ONNX Runtime that is on PYTHONPATH: a folder with *.onnx and in.npz, into out_*.npz.

    python tests/engines/run_ort.py FOLDER

It prints the version of ONNX Runtime, and needs nothing but it and NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Run each file on the same inputs."""
    folder = Path(sys.argv[1])
    feeds = dict(np.load(folder / "in.npz"))
    for path in sorted(folder.glob("*.onnx")):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        np.savez(folder / f"out_{path.stem}.npz", **dict(zip(names, session.run(None, feeds), strict=True)))
    print(onnxruntime.__version__)


if __name__ == "__main__":
    main()
