"""Evidence and topology to ranked suspects, one file a kind of evidence."""
