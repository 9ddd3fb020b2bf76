"""What is promised to be quick, measured: `make bench`, or `python -m tests.bench NAME ...`. See README.md."""
