"""Labels to better detectors: registry, shadow, canary, gate, rollback."""
