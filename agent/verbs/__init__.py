"""The verbs that the agent does itself; finders do the others. Each is allowed by a section of the agent's file."""
