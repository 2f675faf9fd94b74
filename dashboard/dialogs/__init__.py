"""The dialogs of the pages, and the buttons that open them: one file each, with what it does."""
