"""Package rigl_tf; `configs/` is shipped inside it."""

import pathlib
import re

import setuptools
from setuptools.command import build_py

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
    r'__version__ = "(.+)"',
    (_ROOT / "rigl_tf/__init__.py").read_text(encoding="utf-8"),
).group(1)
_PLOTS = ["matplotlib>=3.8", "pillow>=10"]
_LITERT = ["ai-edge-litert>=2"]
_ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.17"]
_OPENVINO = ["openvino>=2025.0"]
_EXPORT = [*_LITERT, *_ONNX, *_OPENVINO, "zstandard>=0.22"]
_DOCS = [
    *_PLOTS,
    "furo>=2025.12",
    "ipykernel>=7.4",
    "myst-nb>=1.4",
    "sphinx>=9",
]


class BuildWithConfigs(build_py.build_py):
    """Copy the configuration files into the package that is built."""

    def run(self):
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for file in (_ROOT / "configs").rglob("*"):
            if file.suffix in (".gin", ".txt"):
                target = pathlib.Path(self.build_lib) / "rigl_tf"
                target /= file.relative_to(_ROOT)
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setuptools.setup(
    name="rigl-tf",
    version=_VERSION,
    description="RigL and its rivals: sparse training for Keras 3",
    long_description=(_ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=setuptools.find_packages(include=["rigl_tf", "rigl_tf.*"]),
    package_data={
        "": ["data/*.csv", "*.pyi", "py.typed"],
        "rigl_tf.sparse.native": ["*.cc", "*.h"],
    },
    cmdclass={"build_py": BuildWithConfigs},
    entry_points={"console_scripts": ["rigl_tf=rigl_tf.cli:main"]},
    install_requires=[
        "tensorflow>=2.20",
        "keras>=3.12",
        "tensorflow-datasets>=4.9.9",
        "tensorflow-model-optimization>=0.8",
        "etils[epath]",
        "importlib_resources",  # tensorflow-datasets forgets it
        "absl-py>=1.4",
        "gin-config>=0.5",
        "ml_dtypes>=0.4",
        "numpy>=1.26",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tqdm>=4.60",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20"],
        "plots": _PLOTS,
        "docs": _DOCS,
        "litert": _LITERT,
        "onnx": _ONNX,
        "openvino": _OPENVINO,
        "export": _EXPORT,
        "tensorboard": ["tensorboard"],
        "test": [
            *_EXPORT,
            *_PLOTS,
            "huggingface_hub>=0.30",
            "hypothesis>=6.100",
            "keras-hub>=0.20",
            "mypy>=1.11",
            "nbformat>=5.10",
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "safetensors>=0.5",
            "setuptools>=68",
            "tensorboard",
            "wheel",
        ],
    },
)
