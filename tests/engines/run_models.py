"""Run models in a process of its own: a JSON list of .onnx and .npz files in, outputs as .npz files out.

Run with the folder of one ONNX Runtime on PYTHONPATH; its version goes to standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Each model on its inputs; outputs go to a file of the model's name with .out.npz."""
    for model, inputs in json.load(sys.stdin):
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        with np.load(inputs) as arrays:
            outputs = session.run(None, dict(arrays))
        names = [value.name for value in session.get_outputs()]
        np.savez(Path(model).with_suffix(".out.npz"), **dict(zip(names, outputs, strict=True)))
    sys.stdout.write(onnxruntime.__version__)


if __name__ == "__main__":
    main()
