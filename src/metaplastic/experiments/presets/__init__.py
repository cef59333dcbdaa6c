"""One function per experiment, each with its claim and command."""
