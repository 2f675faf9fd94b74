"""How late telemetry arrives, and clocks that disagree."""
