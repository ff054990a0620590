"""The Royal Game of Ur of the original trainer: rules, features, evaluation, search, self-play, players and matches.

Nothing is imported here. `board` and `data_files` need numpy only; what computes is compiled by Numba where it is
installed (extra `ur`) and runs as plain Python where it is not, with the same results.
"""
