"""The whole loop on one machine: a shop, Watchkeeper, faults, and a human (real or scripted)."""
