"""GPU against CPU on your machine: seconds of a matrix product by size, and from which size on the GPU is faster.

python docs/lessons/practice/device_profile.py [--sizes 32,128,512,2048]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from torch_impl.placement import benchmark_device

SIZES = (32, 128, 512, 2048)


def profile(sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return the seconds of a product by size and device."""
    return {size: benchmark_device(size) for size in sizes}


def first_gain(times: Mapping[int, Mapping[str, float]]) -> int | None:
    """Return the smallest size from which on the GPU is faster at every size, None if it never is or there is none."""
    gain = None
    for size in sorted(times, reverse=True):
        seconds = times[size]
        if "cuda" not in seconds or seconds["cuda"] >= seconds["cpu"]:
            break
        gain = size
    return gain


def main() -> None:
    """Print a table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows of the matrices")
    sizes = [int(text) for text in parser.parse_args().sizes.split(",")]
    times = profile(sizes)
    for size, seconds in times.items():
        shown = "   ".join(f"{name} {value * 1e3:9.3f} ms" for name, value in seconds.items())
        print(f"{size:6} x {size:<6} {shown}")
    gain = first_gain(times)
    print("no GPU, or it never pays here" if gain is None else f"the GPU pays from {gain} rows on")


if __name__ == "__main__":
    main()
