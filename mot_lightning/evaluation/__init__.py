"""How good a model is: the tasks of the data, their metrics, and the table that shows them."""
