"""What goes into the plugin library, and the commands that make it: of nvcc alone. Twin: CMakeLists.txt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.plugins.library.compiler import Compiler
from stn_deploy.plugins.library.headers import Headers

LIBRARY = "libstn_deploy_plugin.so"
"""What TensorRT loads."""
AUTOLOAD = "libstn_deploy_plugin_autoload.so"
"""For programs that only dlopen() their plugins; it has TensorRT load the other one, which lies beside it."""
_EXPORTED = {LIBRARY: "global: getCreators; setLoggerFinder;", AUTOLOAD: ""}
_HERE = Path(__file__).resolve().parent
_KERNELS = _HERE.parent / "kernels"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides what is in the library.

    headers, compiler: what it is made with. architectures: as `Compiler.chosen` gives them.
    """

    headers: Headers
    compiler: Compiler
    architectures: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of a folder for it: what a person wants to know, and a digest of all."""
        minor = ".".join(self.headers.version.split(".")[:2])
        whole = "\n".join(
            (sources_digest(), self.headers.version, self.compiler.version, *self.architectures)
        )
        return (
            f"tensorrt-{minor}-cuda-{self.compiler.version}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
        )


def sources() -> list[Path]:
    """All files that go into the library: what is compiled, and what that includes."""
    own = [path for pattern in ("*.cpp", "*.h") for path in _HERE.glob(pattern)]
    kernels = [path for pattern in ("*.cu", "*.cuh", "*.h") for path in _KERNELS.glob(pattern)]
    return sorted(own) + sorted(kernels)


def sources_digest() -> str:
    """SHA-256 of the sources, by their names and bytes."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.parent.name}/{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compiling(recipe: Recipe, stage: Path) -> dict[str, list[str]]:
    """For each source, by its name, the command that makes an object file of it in a folder."""
    common = [str(recipe.compiler.nvcc), "-std=c++17", "-O3", "-DNDEBUG"]
    common += ["--compiler-options=-fPIC,-fvisibility=hidden", "-isystem", str(recipe.headers.include)]
    said = {"ARCHITECTURES": ",".join(recipe.architectures), "SOURCES": sources_digest()}
    extra = {
        "launch.cu": ["--threads", "0", *_codes(recipe)],
        "library.cpp": [f'-DSTN_DEPLOY_{name}="{text}"' for name, text in said.items()],
    }
    # The kernels take longest, so they begin first.
    return {
        source.name: [
            *common,
            *extra.get(source.name, []),
            "-c",
            str(source),
            "-o",
            str(_object(source, stage)),
        ]
        for source in [_KERNELS / "launch.cu", *sorted(_HERE.glob("*.cpp"))]
    }


def linking(recipe: Recipe, stage: Path, *, static: bool) -> dict[str, list[str]]:
    """For each library the command that links it in a folder.

    Args:
        static: the C++ runtime goes into the library, so that one built here runs where that is older. Some
            distributions have it in a package of its own, and without that package this fails.
    """
    folders = [f"-L{folder}" for folder in recipe.compiler.library_folders()]
    common = [str(recipe.compiler.nvcc), "-shared", "-cudart", "static", *folders, *_codes(recipe)]
    common += ["-Xcompiler=-static-libstdc++,-static-libgcc"] if static else []
    autoload = _HERE / "autoload.cpp"
    plugin = [source for source in _HERE.glob("*.cpp") if source != autoload]
    parts = {LIBRARY: [*sorted(plugin), _KERNELS / "launch.cu"], AUTOLOAD: [autoload]}
    commands = {}
    for name, exported in _EXPORTED.items():
        script = stage / f"{name}.map"
        script.write_text(f"{{ {exported} local: *; }};\n")
        objects = [str(_object(source, stage)) for source in parts[name]]
        options = [f"-Xlinker=--version-script={script},--no-undefined", "-o", str(stage / name)]
        commands[name] = [*common, *options, *objects, "-ldl"]
    return commands


def _codes(recipe: Recipe) -> list[str]:
    """What nvcc is to make: 86-real is machine code, 86-virtual text."""
    codes = []
    for architecture in recipe.architectures:
        number, _, kind = architecture.partition("-")
        target = f"compute_{number}" if kind == "virtual" else f"sm_{number}"
        codes += ["-gencode", f"arch=compute_{number},code={target}"]
    return codes


def _object(source: Path, stage: Path) -> Path:
    return stage / f"{source.stem}.o"
