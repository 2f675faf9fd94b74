"""What stands before every HTTP port: which names it answers to, how much it takes, and for how long it waits."""
