"""Commands about the agent on this host."""
