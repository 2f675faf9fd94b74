"""The faults that an agent can do, one file each."""
