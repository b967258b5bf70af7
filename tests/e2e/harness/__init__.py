"""What the end-to-end and crash tests stand on: the gateway, its upstreams, its clients. Standard library only."""
