"""Agents of stable-baselines 2: which variable is whose, what is computed of it, and what `predict` makes of that.

All formulas are those of stable_baselines 2.10 (`common/policies.py`, `deepq/policies.py`, `sac/policies.py`,
`td3/policies.py`, `ddpg/policies.py`).
"""
