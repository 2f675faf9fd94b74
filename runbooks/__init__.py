"""What the machine may do to the target, after a human's yes: runbooks of small steps, journalled and undoable."""
