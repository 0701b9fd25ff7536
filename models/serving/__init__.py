"""The embedder as an ONNX file: exported, quantised, read back and run by onnxruntime.

Training and the evaluation of a .pt file import nothing from here, so they need neither onnx nor onnxruntime.
"""

import importlib

from common.errors import InputError

PACKAGES = ("onnx", "onnxruntime")


def require_packages() -> None:
    """To be called before a module of this folder is imported. Raises InputError if what they need is not installed."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"ONNX files need the packages of requirements-serve.txt ({error}); run 'pip install -r requirements-serve.txt'"
            ) from error
