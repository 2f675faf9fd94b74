"""Questions in plain words, answered from read-only queries that are shown. No language model: intents and names."""
