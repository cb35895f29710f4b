"""What bytes are: sniffing and container checks; decoding is asked of a child."""
