"""Browser components, each a Python file with its JavaScript and style sheet."""
