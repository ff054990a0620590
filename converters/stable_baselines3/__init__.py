"""Agents of stable-baselines 2 as files that `stable_baselines3` opens. Only `write` needs that library, and torch."""
