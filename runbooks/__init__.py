"""Steps with plan, run and undo, under an approval policy, one file a step."""
