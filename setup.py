"""Builds the native extension and names the packages; every other fact about the package stands in pyproject.toml.

EPURE_NATIVE=auto  (default) the CPU extension; without a working compiler the package installs without it and says so
EPURE_NATIVE=off   no extension; a wheel is then pure Python, for any machine
EPURE_NATIVE=cpu   the CPU extension, or the build stops
EPURE_NATIVE=cuda  CPU and CUDA (nvcc on PATH, or under CUDA_HOME), or the build stops
EPURE_CUDA_ARCHS   CUDA architectures, default "80 90"
EPURE_SANITIZE     e.g. "address,undefined": instruments the extension (see csrc/sanitize.sh)
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Distribution, Extension, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NAME = "epurecli.gmrf._epure_native"
SWITCH = "EPURE_NATIVE"
MODES = ("auto", "off", "cpu", "cuda")
X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
MSVC = sys.platform == "win32"
OBJECT = ".obj" if MSVC else ".o"

# Flags of the files that hold one instruction set each; which of them runs is decided when the module is loaded.
ISA_FLAGS = {"kernels_avx2.cpp": ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"]}
WITHOUT = (
    "epure: the native extension was NOT built ({why}). Everything works without it, on torch alone; the Gaussian "
    "operations of the GMRF model are many times slower then. Install a C++17 compiler and run `pip install .` again."
)


def mode() -> str:
    value = os.environ.get(SWITCH, "auto")
    if value not in MODES:
        raise SystemExit(f"{SWITCH}={value}: expected one of {', '.join(MODES)}")
    return value


def find_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=str(Path(home) / "bin")) if home else shutil.which("nvcc")


def sources(cuda: bool) -> list[Path]:
    names = [
        "bindings.cpp",
        "arguments.cpp",
        "tensors.cpp",
        "cpu/pool.cpp",
        "cpu/masks.cpp",
        "cpu/dispatch.cpp",
        "cpu/kernels_base.cpp",
    ]
    if X86:
        names.append("cpu/kernels_avx2.cpp")
    if cuda:
        names += ["cuda/launch.cpp", "cuda/kernels.cu", "cuda/evidence.cu"]
    return [Path("csrc") / name for name in names]


class Epure(Distribution):
    """What a wheel's name tells of it: without the extension it fits any machine."""

    def has_ext_modules(self) -> bool:
        return mode() != "off" and super().has_ext_modules()


class Build(build):
    """Comes to `BuildNative` in every mode: with the extension off, an old one is taken away there."""

    sub_commands = [(name, None if name == "build_ext" else wanted) for name, wanted in build.sub_commands]  # noqa: RUF012


class BuildNative(build_ext):
    """Per-file flags, files in parallel, and a rebuild whenever a switch changes.

    setuptools looks at the dates of the sources only, so it would keep a CPU build where CUDA was asked for.
    """

    def run(self) -> None:
        if mode() == "off":
            self.remove_old()
            print("epure: EPURE_NATIVE=off, the native extension is not built")
            return
        try:
            super().run()
        except Exception as error:
            if mode() != "auto":
                raise SystemExit(
                    f"epure: {SWITCH}={mode()} was asked for, but the extension does not build: {error}"
                ) from error
            self.remove_old()
            print(WITHOUT.format(why=error), file=sys.stderr)
            self.extensions = []

    def remove_old(self) -> None:
        """An old binary would be found and used as if it were what was asked for."""
        for ext in self.extensions:
            for inplace in (0, 1):
                self.inplace, kept = inplace, self.inplace
                Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
                self.inplace = kept
        self.extensions = []

    def build_extension(self, ext: Extension) -> None:
        nvcc = find_nvcc() if mode() == "cuda" else None
        if mode() == "cuda" and nvcc is None:
            raise RuntimeError("nvcc was not found on PATH or under CUDA_HOME")
        target = Path(self.get_ext_fullpath(ext.name))
        plan = self.flags(nvcc is not None)
        key = self.key(plan, nvcc)
        temp = Path(self.build_temp) / key
        stamp = temp / f"built-{hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:12]}"
        files = [p for p in (ROOT / "csrc").rglob("*") if p.is_file()] + [ROOT / "setup.py"]
        newest = max(p.stat().st_mtime for p in files)
        current = stamp.exists() and target.exists() and stamp.read_text() == str(target.stat().st_mtime_ns)
        if current and target.stat().st_mtime > newest and not self.force:
            return
        temp.mkdir(parents=True, exist_ok=True)

        def made(source: Path) -> str:
            ready = temp / (f"{source.stem}.cu.o" if source.suffix == ".cu" else source.with_suffix(OBJECT))
            if ready.exists() and ready.stat().st_mtime > newest and not self.force:
                return str(ready)  # of these very flags, since the folder is named after them
            return self.compile(source, plan, nvcc, temp)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(made, sources(nvcc is not None)))
        libraries, folders, options = [], [], list(plan["link"])
        if nvcc:
            libraries = ["cudart_static"] if MSVC else ["cudart_static", "rt", "dl", "pthread"]
            folders = cuda_folders(nvcc)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # another switch's, newer than objects kept of this one: it would not be linked
        self.compiler.link_shared_object(
            objects,
            str(target),
            libraries=libraries,
            library_dirs=folders,
            extra_postargs=options,
            export_symbols=self.get_export_symbols(ext),
            build_temp=str(temp),
            target_lang="c++",
        )
        stamp.write_text(str(target.stat().st_mtime_ns))

    def flags(self, cuda: bool) -> dict[str, list[str]]:
        sanitize = os.environ.get("EPURE_SANITIZE", "")
        if MSVC:
            compile_flags, link = ["/std:c++17", "/O2", "/EHsc", "/bigobj", "/DNOMINMAX"], []
        else:
            compile_flags = ["-std=c++17", "-O3", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra", "-g0"]
            link = ["-pthread"]
            hardened = ["-fstack-protector-strong", "-Wformat", "-Werror=format-security"]
            if not sanitize:  # which replace what _FORTIFY_SOURCE guards
                hardened += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
            compile_flags += hardened
            if sys.platform == "linux":
                link += ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
            if sanitize:
                extra = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g", "-O1"]
                compile_flags, link = compile_flags + extra, [*link, f"-fsanitize={sanitize}"]
        define = "/D" if MSVC else "-D"
        compile_flags += [f"{define}EPURE_X86=1"] if X86 else []
        compile_flags += [f"{define}EPURE_CUDA=1"] if cuda else []
        return {"compile": compile_flags, "link": link}

    def key(self, plan: dict[str, list[str]], nvcc: str | None) -> str:
        parts = [mode(), nvcc, os.environ.get("EPURE_CUDA_ARCHS"), plan, ISA_FLAGS, sys.version, os.environ.get("CXX")]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def compile(self, source: Path, plan: dict[str, list[str]], nvcc: str | None, temp: Path) -> str:
        if source.suffix == ".cu":
            return compile_cuda(nvcc, source, temp)
        import pybind11

        includes = [pybind11.get_include(), *self.include_dirs, str(ROOT / "csrc")]
        flags = plan["compile"] + ISA_FLAGS.get(source.name, [])
        if source.parent.name != "cpu" and not MSVC:
            flags = [*flags, "-O1"]  # the bindings do no arithmetic
        (made,) = self.compiler.compile(
            [str(source)], output_dir=str(temp), include_dirs=includes, extra_postargs=flags, depends=[]
        )
        return made


def cuda_folders(nvcc: str) -> list[str]:
    """Where nvcc's own libraries lie. `nvcc` may be a wrapper anywhere, so it is asked rather than its path read."""
    done = subprocess.run([nvcc, "--dryrun", "-c", "x.cu"], capture_output=True, text=True, check=False)
    told = re.findall(r'"?-L([^"\s]+)', done.stderr) + re.findall(r"TOP=(.+)", done.stderr)
    places = [Path(text.strip()) for text in told]
    tops = [place / part for place in places for part in ("", "lib64", "lib", "lib/x64")]
    return [str(path) for path in tops if any(path.glob("*cudart_static*"))]


def compile_cuda(nvcc: str, source: Path, temp: Path) -> str:
    """Compile one .cu file for every architecture asked for. -> object file"""
    archs = os.environ.get("EPURE_CUDA_ARCHS", "80 90").split()
    made = (temp / f"{source.stem}.cu.o").absolute()
    command = [
        nvcc,
        "-c",
        str(source),
        "-o",
        str(made),
        "-std=c++17",
        "-O3",
        "-DEPURE_CUDA=1",
        "--expt-relaxed-constexpr",
    ]
    command += [] if MSVC else ["-Xcompiler", "-fPIC", "-Xcompiler", "-fvisibility=hidden"]
    for arch in archs:
        command += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvcc failed on {source}:\n{done.stdout}{done.stderr}")
    return str(made)


setup(
    # the shipped YAMLs stand at the top of the tree and are installed inside the package
    packages=[*find_packages(include=["epurecli", "epurecli.*"]), "epurecli.configs"],
    package_dir={"epurecli.configs": "configs"},
    package_data={
        "epurecli": ["py.typed"],
        "epurecli.configs": ["*.yaml"],
        "epurecli.explore": ["web/*"],
        "epurecli.studio": ["web/*"],
    },
    ext_modules=[Extension(NAME, [str(path) for path in sources(False)], language="c++")],
    cmdclass={"build": Build, "build_ext": BuildNative},
    distclass=Epure,
)
