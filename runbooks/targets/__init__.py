"""What steps act on: one file a kind of target. The Protocol is `watchkeeper.target.Target`."""
