"""Build the package against an installed libtokenprune, found by pkg-config.

The modules of the native layer are written by SWIG from src/*.i and the shared
interface in ../swig. Without libtokenprune-mllm, tokenprune.mllm is left out.

TOKENPRUNE_BUNDLE=1 puts the libraries and their backend modules into the package,
which then runs wherever what they are linked with (libyaml, oneDNN, ...) is there.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
SWIG = HERE.parent / "swig"
BUNDLE = os.environ.get("TOKENPRUNE_BUNDLE") == "1"
CORE = ["flat.c", "flat_object.c", "flat_parts.c", "flat_sequence.c"]
MODULES = {
    # name: (pkg-config, sources of ../swig, sources of src)
    "flat": ("tokenprune", CORE,
             ["arrays.c", "array_type.c", "callbacks.c", "object_type.c"]),
    "flat_mllm": ("tokenprune-mllm", ["flat_mllm.c", "flat_object.c"],
                  ["answers.c", "arrays.c", "callbacks.c", "object_type.c"]),
}


def pkg_config(package, *options):
    """What pkg-config says, or None where it does not know the package."""
    found = subprocess.run(
        ["pkg-config", *options, package], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None



def extension(name):
    package, shared, own = MODULES[name]
    libraries = shlex.split(pkg_config(package, "--libs"))
    folders = [f[2:] for f in libraries if f.startswith("-L")]
    own_copy = ["-Wl,-rpath,$ORIGIN/lib"] if BUNDLE else []
    if BUNDLE:
        folders = []
    return Extension(
        f"tokenprune._{name}",
        [f"src/{name}.i", *(f"../swig/{file}" for file in shared),
         *(f"src/{file}" for file in own)],
        include_dirs=["src", str(SWIG)],
        extra_compile_args=["-D_GNU_SOURCE", "-std=c11",
                            *shlex.split(pkg_config(package, "--cflags"))],
        extra_link_args=[*libraries, *own_copy],
        # Of a library outside of the system's folders, remember where it is.
        runtime_library_dirs=[f for f in folders if not f.startswith("/usr/lib")],
        depends=[str(p) for p in SWIG.glob("*.[hi]")])


def bundle(package):
    """Libraries and modules, laid out as where they are installed."""
    libdir = pathlib.Path(pkg_config("tokenprune", "--variable=libdir"))
    out = package / "lib"
    shutil.rmtree(out, ignore_errors=True)
    (out / "tokenprune").mkdir(parents=True)
    for name in ("libtokenprune", "libtokenprune-mllm"):
        link = libdir / f"{name}.so"
        if link.is_symlink():  # to the SONAME, which is what programs look for
            shutil.copy(link, out / os.readlink(link))
    for module in (libdir / "tokenprune").glob("libtokenprune-*.so"):
        shutil.copy(module, out / "tokenprune" / module.name)


class BuildExt(build_ext):
    """SWIG writes its Python half beside the module that it belongs to."""

    def run(self):
        super().run()
        if BUNDLE:
            bundle(pathlib.Path(self.build_lib) / "tokenprune")

    def swig_sources(self, sources, ext):
        swig = next(filter(shutil.which, ("swig4.1", "swig4.0", "swig")), None)
        if not swig:
            sys.exit("tokenprune: SWIG 4 is not here")
        out = pathlib.Path(self.build_temp)
        package = pathlib.Path(self.build_lib) / "tokenprune"
        out.mkdir(parents=True, exist_ok=True)
        package.mkdir(parents=True, exist_ok=True)
        done = []
        for source in sources:
            if not source.endswith(".i"):
                done.append(source)
                continue
            wrap = out / f"{pathlib.Path(source).stem}_wrap.c"
            headers = [f for f in ext.extra_compile_args if f.startswith("-I")]
            if not headers:
                headers = ["-I" + pkg_config("tokenprune", "--variable=includedir")]
            self.spawn([swig, "-python", "-DSWIGWORDSIZE64", f"-I{SWIG}", "-Isrc", *headers,
                        "-outdir", str(package), "-o", str(wrap), source])
            done.append(str(wrap))
        return done


class BuildPy(build_py):
    """mllm.py goes only where its native half does."""

    def find_package_modules(self, package, package_dir):
        found = super().find_package_modules(package, package_dir)
        if "flat_mllm" not in names:
            found = [m for m in found if m[1] != "mllm"]
        return found


names = [name for name, (package, *_) in MODULES.items()
         if pkg_config(package, "--libs") is not None]
if "flat" not in names and len(sys.argv) > 1 and sys.argv[1] != "--version":
    sys.exit("tokenprune: pkg-config does not know tokenprune; "
             "is PKG_CONFIG_PATH set?")
setup(
    version=pkg_config("tokenprune", "--modversion") or "0",
    ext_modules=[extension(name) for name in names],
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy})
