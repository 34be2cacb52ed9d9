"""ONNX Runtime's GPU providers without a GPU: its own CPU provider, on the memory of `LazyCuda`.

Bindings are the true ones, so that names, types, shapes and addresses must be as ONNX Runtime wants them. A
run is queued on the stream that the session was given, and done when that is waited for.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.lazy_cuda import LazyCuda

CUDA, TENSORRT, CPU = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "CPU"))


class FakeOrtGpu(ModuleType):
    """Stands for ``onnxruntime``.

    honours_stream: False as before ONNX Runtime 1.18, whose runs are on a stream of their own and are waited
    for. breaks: how many of the next runs fail. starts: which providers find their libraries.
    """

    def __init__(
        self, cuda: LazyCuda, *, honours_stream: bool = True, built_with: tuple[str, ...] = (CUDA,)
    ) -> None:
        super().__init__("onnxruntime")
        self.cuda, self.honours_stream, self.built_with = cuda, honours_stream, built_with
        self.starts = built_with
        self.breaks = 0
        self.sessions: list[Any] = []
        self.__version__ = onnxruntime.__version__
        self.SessionOptions = onnxruntime.SessionOptions

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return [*self.built_with, CPU]

    def RunOptions(self) -> Any:
        return _RunOptions()

    def InferenceSession(self, model: Any, options: Any = None, providers: Any = ()) -> Any:
        named = {each if isinstance(each, str) else each[0]: each for each in providers}
        if set(named) == {CPU}:
            return onnxruntime.InferenceSession(model, options, providers=providers)
        session = _Session(self, model, options, named)
        self.sessions.append(session)
        return session


class _RunOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        onnxruntime.RunOptions().add_run_config_entry(key, value)
        self.entries[key] = value


class _Session:
    def __init__(self, owner: FakeOrtGpu, model: Any, options: Any, providers: dict[str, Any]) -> None:
        self._owner = owner
        self._said = {name: dict(each[1]) for name, each in providers.items() if not isinstance(each, str)}
        for found in self._said.values():
            assert all(isinstance(value, str) for value in found.values())
        streams = {found["user_compute_stream"] for found in self._said.values()}
        assert len(streams) == 1
        self._stream = int(streams.pop())
        assert self._stream in owner.cuda.streams
        self._real = onnxruntime.InferenceSession(model, options, providers=[CPU])
        self._providers = [name for name in (*self._said, CPU) if name == CPU or name in owner.starts]
        self.fallback = True
        self._sizes: tuple[int, ...] = ()

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def get_providers(self) -> list[str]:
        return self._providers

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        if self._owner.honours_stream:
            return self._said
        return {name: {**found, "user_compute_stream": "0"} for name, found in self._said.items()}

    def disable_fallback(self) -> None:
        self.fallback = False

    def io_binding(self) -> _Binding:
        return _Binding(self._real.io_binding(), self._owner.cuda)

    def run_with_iobinding(self, binding: _Binding, options: _RunOptions) -> None:
        assert not self.fallback, "a run that fails would go on, on the CPU"
        if self._owner.breaks:
            self._owner.breaks -= 1
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

        # What is computed of sizes, on the host, lies in one place for all runs; the GPU copies it later.
        self._sizes = binding.shape

        def work() -> None:
            assert self._sizes == binding.shape, "sizes of another run were written over those of this one"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._real.run_with_iobinding(binding.real)

        cuda = self._owner.cuda
        if not self._owner.honours_stream:
            work()
            return
        cuda.streams[self._stream].append(work)
        if options.entries.get("disable_synchronize_execution_providers") != "1":
            cuda.streams[self._stream].finish()


class _Binding:
    """The true binding, to the memory that the fake GPU has."""

    def __init__(self, real: Any, cuda: LazyCuda) -> None:
        self.real, self._cuda = real, cuda
        self.shape: tuple[int, ...] = ()

    def bind_input(self, name: str, device: str, index: int, kind: Any, shape: Any, address: int) -> None:
        self._check(device, index, kind, shape, address)
        if name == "images":
            self.shape = tuple(shape)
        self.real.bind_input(name, "cpu", 0, kind, shape, address)

    def bind_output(self, name: str, device: str, index: int, kind: Any, shape: Any, address: int) -> None:
        self._check(device, index, kind, shape, address)
        self.real.bind_output(name, "cpu", 0, kind, shape, address)

    def _check(self, device: str, index: int, kind: Any, shape: Any, address: int) -> None:
        assert (device, index) == ("cuda", self._cuda.device)
        self._cuda.numbers(address, int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize)


def install_ort(monkeypatch: pytest.MonkeyPatch, cuda: LazyCuda, **settings: Any) -> FakeOrtGpu:
    """Let GPU engines find it; what runs on the CPU has the true one."""
    fake = FakeOrtGpu(cuda, **settings)
    monkeypatch.setattr("stn_deploy.runtime.engines.ort_device.onnx_runtime", lambda: fake)
    return fake
