"""The protocol: RFC text in, RFC text out; given the time, and without a socket."""
