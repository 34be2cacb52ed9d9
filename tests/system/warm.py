"""Runs commands in processes that need not import torch first: this one has, and forks.

A line of JSON in: argv, cwd, env, and files for standard output and standard error. A line of JSON out: the
exit status. It has computed nothing when it forks, so that no thread is lost on the way.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

HEAVY = (
    "numpy",
    "cv2",
    "torch",
    "torch.onnx",
    "safetensors.torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "rich.table",
)


def run(job: dict[str, Any]) -> None:
    """The command line in this process, from its arguments to its exit."""
    for number, name in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
        opened = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv = ["stn-deploy", *job["argv"]]
    paths = job["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [job["cwd"], *filter(None, paths)]  # as python -m has it
    from stn_deploy.cli import main

    main()


def main() -> None:
    """Fork for each line of standard input."""
    for name in HEAVY:
        importlib.import_module(name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(json.loads(line))
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:  # noqa: BLE001 (a traceback, as Python itself prints it)
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        sys.stdout.write(json.dumps(os.waitstatus_to_exitcode(ended)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
