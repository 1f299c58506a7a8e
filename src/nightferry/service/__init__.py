"""Units for systemd and a line for cron, as `nightferry service` fills them in."""
