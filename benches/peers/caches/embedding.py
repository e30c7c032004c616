"""The bundled model from Python: the same file, the same ONNX Runtime and the same options as Wellspring's own.

A text is run alone, for the model is quantized dynamically and a batch would shift the vectors.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

DIMENSIONS = 384
MODEL = Path(__file__).resolve().parents[3] / "models" / "question-encoder"


class Model:
    """Text to a unit vector of 384 components; may be called by several threads at once."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        # One thread for one text, which is Wellspring's default, too.
        options.intra_op_num_threads = 1
        manifest = json.loads((MODEL / "manifest.json").read_text())
        for key, value in manifest["session"].items():
            options.add_session_config_entry(key, value)
        self._session = onnxruntime.InferenceSession(
            str(MODEL / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def __call__(self, text: str) -> np.ndarray:
        encoding = self._tokenizer.encode(text)
        ids = np.array([encoding.ids], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        (hidden,) = self._session.run(None, inputs)
        mean = hidden[0].mean(axis=0)
        return mean / np.linalg.norm(mean)
