"""A local stand-in for Slack: its HTTP API, its checks, and a page that shows the messages with working buttons."""
