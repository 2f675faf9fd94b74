"""Parts for Watchkeeper that know queues."""
