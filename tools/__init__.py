"""What the Makefile's commands do, in plain Python and nothing but its standard library."""
