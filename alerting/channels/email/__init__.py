"""E-mail as a channel: letters by SMTP, with a link that acknowledges."""
