"""Continue the training of recorded cases in TensorFlow itself and print how far it ends from its own recording.

    python docs/continue_recorded.py tf215_nested_bn tf215_conv_bn

To be run with a Python that has the TensorFlow to be asked (2.15 for the cases of the page on numerics) and not this
project. Each row is a process of its own: the kernels are chosen when TensorFlow is imported.
"""
# ruff: noqa: T201  this is a script for people: it prints

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "parity_tests" / "fixtures"
ROWS = {
    "oneDNN off": ("0", "graph", 1),
    "oneDNN off, 2 threads": ("0", "graph", 2),
    "oneDNN on (default on x86)": ("1", "graph", 1),
    "oneDNN on, eager": ("1", "eager", 1),
    "oneDNN off, jit_compile": ("0", "jit", 1),
}
"""Row of the table to TF_ENABLE_ONEDNN_OPTS, how the step is run, and threads."""


def print_table(cases: list[str]) -> None:
    """Print, for each case and way to compute, the distance of the outputs after the recorded updates."""
    print("| TensorFlow | case | outputs off by | weights off by over 1e-5 |\n|---|---|---|---|")
    for case in cases:
        for row, (onednn, mode, threads) in ROWS.items():
            environment = {
                **os.environ,
                "TF_ENABLE_ONEDNN_OPTS": onednn,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            }
            command = [sys.executable, __file__, "--one", case, mode, str(threads)]
            done = subprocess.run(
                command, env=environment, check=True, text=True, stdout=subprocess.PIPE
            )
            version, distance, weights = done.stdout.strip().splitlines()[-1].split("\t")
            print(f"| {version}, {row} | {case} | {distance} | {weights} |", flush=True)


def continue_once(case: str, mode: str, threads: int) -> None:
    """Load the file of a case, train on as recorded, and print version, distance and the weights that left."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    recorded = np.load(FIXTURES / case / "expected.npz")
    model = tf.keras.models.load_model(FIXTURES / case / "model.h5")
    if mode == "jit":
        model.compile(optimizer=model.optimizer, loss="mse", jit_compile=True)
    model.run_eagerly = mode == "eager"
    for _ in recorded["resume_loss"]:
        model.train_on_batch(recorded["x0"], recorded["t0"])
    outputs = model.predict(recorded["x0"], verbose=0)
    wanted = recorded["yafter0"]
    distance = np.abs(outputs - wanted).max() / max(1.0, np.abs(wanted).max())
    left = []
    for index, (variable, value) in enumerate(zip(model.weights, model.get_weights(), strict=True)):
        change = np.abs(value - recorded[f"after_{index:03}"]).max()
        if change > 1e-5:
            left.append(f"{'/'.join(variable.name.split(':')[0].split('/')[-2:])} {change:.0e}")
    print(f"{tf.__version__}\t{distance:.1e}\t{', '.join(left) or '-'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        continue_once(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        print_table(sys.argv[1:])
