"""Ways to find, start and stop a service, one file each. The Protocol is `agent.finder.Finder`."""
