"""Pictures of the evidence, for the channels that can show them."""
