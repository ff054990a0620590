"""Pure functions from steps to fewer steps that compute the same."""
