"""The text that ships with the package: plays of Shakespeare, in the public domain (char-rnn's tinyshakespeare)."""
