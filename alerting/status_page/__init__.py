"""Status updates of incidents for people outside the team, and the public status page."""
