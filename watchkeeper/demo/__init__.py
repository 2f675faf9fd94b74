"""The whole loop on one machine: the shop, the roles, the faults and the scoreboard."""
