"""The command line: argv and help."""
