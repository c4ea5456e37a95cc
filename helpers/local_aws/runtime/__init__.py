"""What runs inside an execution environment's process; nothing here is imported by the server."""
