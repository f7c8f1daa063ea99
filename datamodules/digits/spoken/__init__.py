"""Ten spoken words in 45 synthetic voices, and the script that rendered them."""
