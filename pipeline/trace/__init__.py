"""What is told: logs and debug artifacts, both through one redaction."""
