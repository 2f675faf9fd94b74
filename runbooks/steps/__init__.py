"""Steps of runbooks: one file a verb, one line each in pyproject.toml under `watchkeeper.steps`."""
