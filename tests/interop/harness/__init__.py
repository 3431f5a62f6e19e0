"""What the suites share: the server, the clients, the records they exchange, and tables of results."""
