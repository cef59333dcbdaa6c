"""Builds the optional compiled parts: the kernel of packed networks and the products of training.

Without a compiler the package is installed without them; without OpenMP they have one thread.
"""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError


class BuildNative(build_ext):
    """Tries the compiler's flag for OpenMP first, and goes without where it has none."""

    def build_extension(self, extension):
        """Build one extension."""
        msvc = self.compiler.compiler_type == "msvc"
        optimise, openmp = (["/O2"], "/openmp") if msvc else (["-O3"], "-fopenmp")
        extension.extra_compile_args = [*optimise, openmp]
        extension.extra_link_args = [] if msvc else [openmp]
        try:
            super().build_extension(extension)
        except (CompileError, LinkError):
            extension.extra_compile_args, extension.extra_link_args = optimise, []
            super().build_extension(extension)


HEADERS = ["src/metaplastic/native/platform.h", "src/metaplastic/native/signs.h"]

setup(
    ext_modules=[
        Extension(name, [f"src/{name.replace('.', '/')}.c"], depends=HEADERS, optional=True)
        for name in ("metaplastic.packed._kernel", "metaplastic.native._training", "metaplastic.native._update")
    ],
    cmdclass={"build_ext": BuildNative},
)
