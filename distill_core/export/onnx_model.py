"""The network as ONNX, in float32 or with weights and activations of 8 bits, and its use in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from distill_core.export.trained import Trained
from distill_core.statistics import format_percent

TOLERANCE = 1e-3  # the largest difference of a logit between torch and ONNX Runtime in float32, on CHECKED images
CHECKED = 1000
CALIBRATION = 500  # training images by which the ranges of the activations are found
IMAGES, TOKENS, LOGITS = "images", "tokens", "logits"  # inputs, uint8 (N, D, H, W) or (N, L); output, float32 (N, C) or (N, L, V)
_EXPORTING = threading.Lock()  # torch's exporter has global state


def onnx(trained: Trained) -> bytes:
    """The network with its standardisation as ONNX, compared with torch on 1,000 test images. The metadata has its classes.

    A language model reads windows of L tokens, and is compared on the test windows.

    Raises `ValueError` if the outputs differ by more than the tolerance.
    """
    blob = _with_metadata(_export(trained), trained)
    difference, same = compare(trained, blob)
    if difference > TOLERANCE:
        raise ValueError(
            f"ONNX Runtime's logits of {trained.title} differ from torch's by {difference:.2g}, more than {TOLERANCE:g} "
            f"({format_percent(same)} of the predictions agree); use another format, and report this"
        )
    return blob


def onnx_int8(trained: Trained) -> bytes:
    """The same with weights and activations of 8 bits, by ONNX Runtime's static quantisation; it has kernels for them.

    The range of each activation is that on training images.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            every = max(1, len(trained.dataset.train_images) // CALIBRATION)
            images = trained.dataset.train_images[::every][:CALIBRATION].cpu().numpy()
            self.batches = iter([{IMAGES: images}])

        def get_next(self) -> dict | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(_export(trained))
        kinds = ["Gemm", "MatMul", "Conv"]
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=kinds, **types)
        return _with_metadata(target.read_bytes(), trained)


class OnnxModel:
    """An exported model in ONNX Runtime on the CPU. Safe to call from several threads."""

    def __init__(self, blob: bytes, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            self.session = onnxruntime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])
            (entry,), (result,) = self.session.get_inputs(), self.session.get_outputs()
            if entry.name not in (IMAGES, TOKENS) or (entry.type, result.name) != ("tensor(uint8)", LOGITS):
                raise ValueError("another input")
        except Exception as error:  # ONNX Runtime has many kinds of error for a file that is none
            raise ValueError("this is no ONNX model of the lab, or it is cut; give a file that `export --format onnx` wrote") from error
        self.name, self.image_shape = entry.name, tuple(entry.shape[1:])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits `(N, C)` of images `(N, D, H, W)` uint8, or `(N, L, V)` of tokens `(N, L)` uint8."""
        return self.session.run([LOGITS], {self.name: images})[0]


def compare(trained: Trained, blob: bytes) -> tuple[float, float]:
    """On 1,000 test images: the largest difference of a logit from torch's, and the share of equal predictions."""
    images = trained.dataset.test_images[:CHECKED].cpu()
    ours = trained.logits(images).cpu().numpy()
    theirs = OnnxModel(blob).logits(images.numpy())
    return float(np.abs(ours - theirs).max()), float((ours.argmax(axis=-1) == theirs.argmax(axis=-1)).mean())


def _export(trained: Trained) -> bytes:
    """The model by torch's older exporter (`dynamo=False`), which torch 2.13 deprecates.

    The newer one, with onnxscript 0.7.2, differed from torch by as much and predicted the same classes for seven networks, also
    in 8 bits. But it took 2 to 5 seconds of a core for each in place of 0.02 to 0.2, wrote 5 to 100 kB more (an mlp-30x2 for
    digits grew from 14 to 25 kB), and needs two more packages.
    """
    file = io.BytesIO()
    example = torch.zeros(2, *trained.dataset.image_shape, dtype=torch.uint8)
    given = TOKENS if trained.dataset.is_text else IMAGES
    names = {"input_names": [given], "output_names": [LOGITS], "dynamic_axes": {given: {0: "N"}, LOGITS: {0: "N"}}}
    with _EXPORTING, _quiet():
        torch.onnx.export(trained.deployable().to(memory_format=torch.contiguous_format), (example,), file, dynamo=False, **names)
    return file.getvalue()


def _with_metadata(blob: bytes, trained: Trained) -> bytes:
    from onnx import helper, load_model_from_string

    model = load_model_from_string(blob)
    helper.set_model_props(model, {"network": trained.description, "name": trained.name, "title": trained.title})
    return model.SerializeToString()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice of both libraries on other ways to export."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
